"""Small charts as SVG, for a page that needs no script and no network."""

import dataclasses
import html
from collections.abc import Callable, Iterator, Sequence

import numpy as np

COLOURS = (
  "#1f6f8b", "#d98c3f", "#7a9e5f", "#a05c7b",
  "#5b6fb5", "#b5a55b", "#8b8b8b", "#c04f4f",
)  # fmt: skip
_WIDTH, _HEIGHT = 420, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 26
_MOST_POINTS = 600  # Of a line: more than there are pixels.
_MOST_HOVERED = 60  # Points of a line that say their value under a mouse.
_DASHES = ("", "7 5", "2 4", "9 3 2 3")  # Lines that lie on each other.


@dataclasses.dataclass(frozen=True)
class Line:
  """One line of a chart.

  Attributes:
    name: for the legend.
    x: of its points.
    y: likewise.
    colour: index into `COLOURS`; later ones are dashed, so that one that lies
      on another shows both.
    dots: whether the points are marked.
    joined: whether a line joins them.
    counts: examples behind each point, which are written at it; none.
  """

  name: str
  x: Sequence[float]
  y: Sequence[float]
  colour: int = 0
  dots: bool = False
  joined: bool = True
  counts: Sequence[int] = ()


def line_chart(
  title: str,
  lines: Sequence[Line],
  *,
  x_label: str = "step",
  diagonal: bool = False,
  x_from: float | None = None,
  y_from: float | None = None,
  marks: Sequence[tuple[float, str]] = (),
) -> str:
  """Draws lines; "" where there is no point.

  Args:
    title: above the chart.
    lines: in the order of the legend.
    x_label: below the axis.
    diagonal: whether to draw where x equals y.
    x_from: where the axis begins at the latest; None: at the first point.
    y_from: likewise, of the other axis.
    marks: (x, what is there) of upright lines.
  """
  kept = [_thinned(line) for line in lines]
  kept = [line for line in kept if len(line.x)]
  if not kept:
    return ""
  xs, ys = (np.concatenate([getattr(k, a) for k in kept]) for a in "xy")
  if diagonal:
    ends = _whole_span(np.append(xs, ys))
    xs, ys = np.append(xs, ends), np.append(ys, ends)
  x0, x1, y0, y1 = (*_span(xs, x_from), *_span(ys, y_from))
  if any(len(line.counts) for line in kept):
    y1 += (y1 - y0) / 12  # Room for a count above the highest point.
  if not (diagonal or all(x.joined and not len(x.counts) for x in kept)):
    room = (x1 - x0) / 24  # Between the outer points and the axis.
    x0, x1 = x0 - room, x1 + room

  def place(x, y):
    across = _LEFT + (x - x0) / (x1 - x0) * (_WIDTH - _LEFT - _RIGHT)
    down = _HEIGHT - _BOTTOM - (y - y0) / (y1 - y0) * (_HEIGHT - _TOP - _BOTTOM)
    return f"{across:.1f},{down:.1f}"

  parts = []
  for tick, text in _ticks(y0, y1):
    start, end = place(x0, tick), place(x1, tick)
    parts.append(f'<path class="grid" d="M{start}L{end}"/>')
    parts.append(_text(_LEFT - 6, start.split(",")[1], text, "end"))
  for tick, text in _ticks(x0, x1):
    across = place(tick, y0).split(",")[0]
    parts.append(_text(across, _HEIGHT - 8, text, "middle"))
  if diagonal:
    low, high = max(x0, y0), min(x1, y1)
    parts.append(
      f'<path class="grid" d="M{place(low, low)}L{place(high, high)}"/>'
    )
  for x, what in marks:
    if x0 <= x <= x1:
      parts.append(
        f'<path class="mark" d="M{place(x, y0)}L{place(x, y1)}">'
        f"<title>{html.escape(what)}</title></path>"
      )
  for line in kept:
    parts += _drawn(line, place)
  return _figure(title, parts, legend_of(kept), x_label)


def _drawn(line: Line, place: Callable[[float, float], str]) -> Iterator[str]:
  """Yields a line, its points, and what these say."""
  colour = COLOURS[line.colour % len(COLOURS)]
  points = [place(x, y) for x, y in zip(line.x, line.y, strict=True)]
  if line.joined and len(points) > 1:
    dash = _DASHES[line.colour % len(_DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    yield (
      f'<polyline fill="none" stroke="{colour}" stroke-width="1.5"{dashed} '
      f'points="{" ".join(points)}"/>'
    )
  step = -(-len(points) // _MOST_HOVERED)
  for i, point in enumerate(points):
    across, down = point.split(",")
    said = i % step == 0
    if not (line.dots or said):
      continue
    kind = "dot" if line.dots else "hover"
    count = f", {line.counts[i]:,} examples" if len(line.counts) else ""
    text = f"{line.name} {line.x[i]:.6g}: {line.y[i]:.4g}{count}".strip()
    title = f"<title>{html.escape(text)}</title>" if said else ""
    yield (
      f'<circle class="{kind}" r="{3 if line.dots else 5}" fill="{colour}" '
      f'cx="{across}" cy="{down}">{title}</circle>'
    )
    if len(line.counts):
      above = f"{float(down) - 6:.1f}"
      yield _text(across, above, f"{line.counts[i]:,}", "middle", "count")


def stacked_bars(
  title: str, rows: Sequence[tuple[str, Sequence[tuple[str, float]]]]
) -> str:
  """Draws a bar for each row, of parts that are shares of its sum, as HTML.

  Args:
    title: above the chart.
    rows: (name, parts), each part (name, value of 0 or more).
  """
  rows = [
    (row, [(name, value) for name, value in parts if value > 0])
    for row, parts in rows
  ]
  names = list(dict.fromkeys(name for _, parts in rows for name, _ in parts))
  colour = lambda name: COLOURS[names.index(name) % len(COLOURS)]
  bars = []
  for row, parts in rows:
    total = sum(value for _, value in parts)
    spans = "".join(
      f'<span style="width:{value / total:.3%};background:{colour(name)}" '
      f'title="{html.escape(name)}: {value:,.1f} s, {value / total:.1%}">'
      "</span>"
      for name, value in parts
    )
    if spans:
      bars.append(
        f"<div>{html.escape(row)}: {total:,.0f} s</div>"
        f'<div class="bar">{spans}</div>'
      )
  if not bars:
    return ""
  sums = {
    name: sum(dict(parts).get(name, 0.0) for _, parts in rows) for name in names
  }
  legend = [(f"{name} {sums[name]:,.1f} s", colour(name)) for name in names]
  return (
    f"<figure><figcaption>{html.escape(title)}</figcaption>{''.join(bars)}"
    f"{_legend(legend)}</figure>"
  )


def legend_of(lines: Sequence[Line]) -> list[tuple[str, str]]:
  """Returns (name, colour) of lines that need one."""
  if len({line.name for line in lines}) < 2:
    return []
  return [(x.name, COLOURS[x.colour % len(COLOURS)]) for x in lines]


def _figure(
  title: str,
  parts: Sequence[str],
  legend: Sequence[tuple[str, str]],
  x_label: str,
) -> str:
  return (
    f"<figure><figcaption>{html.escape(title)} "
    f"<small>by {html.escape(x_label)}</small></figcaption>"
    f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
    f'aria-label="{html.escape(title)}">{"".join(parts)}</svg>'
    f"{_legend(legend)}</figure>"
  )


def _legend(legend: Sequence[tuple[str, str]]) -> str:
  if not legend:
    return ""
  names = "".join(
    f'<span><i style="background:{colour}"></i>{html.escape(name)}</span>'
    for name, colour in legend
  )
  return f'<div class="legend">{names}</div>'


def _text(
  x: float | str, y: float | str, text: str, anchor: str, kind: str = ""
) -> str:
  named = f' class="{kind}"' if kind else ""
  return (
    f'<text{named} x="{x}" y="{y}" text-anchor="{anchor}">'
    f"{html.escape(text)}</text>"
  )


def _thinned(line: Line) -> Line:
  """Keeps the least and the greatest point of each of many short spans."""
  x, y = np.asarray(line.x, float), np.asarray(line.y, float)
  finite = np.isfinite(x) & np.isfinite(y)
  x, y = x[finite], y[finite]
  if len(x) > _MOST_POINTS:
    keep = {0, len(x) - 1}
    for span in np.array_split(np.arange(len(x)), _MOST_POINTS // 2):
      keep |= {int(span[y[span].argmin()]), int(span[y[span].argmax()])}
    places = sorted(keep)
    x, y = x[places], y[places]
  counts = line.counts
  if len(counts):
    counts = [n for n, there in zip(counts, finite, strict=True) if there]
  return dataclasses.replace(line, x=x, y=y, counts=counts)


def _span(values: np.ndarray, start: float | None) -> tuple[float, float]:
  """Returns where an axis begins and ends.

  Of equal values, and of shares that hardly differ, it has room around them: a
  difference of noise must not fill a chart.
  """
  low, high = float(values.min()), float(values.max())
  if start is not None:
    low = min(low, start)
  if start is None and low >= 0 and high <= 1:
    room = max(0.0, 0.1 - (high - low)) / 2
    low, high = max(0.0, low - room), min(1.0, high + room)
  if high > low:
    return low, high
  half = abs(low) / 10 or 0.5
  return (
    (low, high + 2 * half) if start is not None else (low - half, high + half)
  )


def _whole_span(values: np.ndarray) -> list[float]:
  """Returns the ends of both axes of a chart with a diagonal."""
  if values.min() >= 0 and values.max() <= 1:
    return [0.0, 1.0]
  return [float(values.min()), float(values.max())]


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
  """Some round numbers between two, and their texts."""
  step = 10.0 ** np.floor(np.log10((high - low) / 2))
  for factor in (1, 2, 5):
    if (high - low) / (step * factor) <= 5:
      step *= factor
      break
  digits = max(0, -int(np.floor(np.log10(step))))
  small = max(abs(low), abs(high)) < 0.01
  form = ".1e" if small else f".{digits}f"
  first = np.ceil(low / step) * step
  ticks = np.arange(first, high + step * 1e-6, step).tolist()
  return [
    (tick, "0" if small and abs(tick) < step / 2 else f"{tick:z{form}}")
    for tick in ticks
  ]
