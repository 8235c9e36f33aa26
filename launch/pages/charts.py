"""Small charts as SVG, for a page that needs no script and no network."""

import dataclasses
import html
from collections.abc import Sequence

import numpy as np

COLOURS = (
  "#1f6f8b", "#d98c3f", "#7a9e5f", "#a05c7b",
  "#5b6fb5", "#b5a55b", "#8b8b8b", "#c04f4f",
)  # fmt: skip
_WIDTH, _HEIGHT = 420, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 26
_MOST_POINTS = 600  # Of a line: more than there are pixels.


@dataclasses.dataclass(frozen=True)
class Line:
  """One line of a chart.

  Attributes:
    name: for the legend.
    x: of its points.
    y: likewise.
    colour: index into `COLOURS`.
    dots: whether the points are marked.
  """

  name: str
  x: Sequence[float]
  y: Sequence[float]
  colour: int = 0
  dots: bool = False


def line_chart(
  title: str,
  lines: Sequence[Line],
  *,
  x_label: str = "step",
  diagonal: bool = False,
) -> str:
  """Draws lines; "" where there is no point.

  Args:
    title: above the chart.
    lines: in the order of the legend.
    x_label: below the axis.
    diagonal: whether to draw where x equals y.
  """
  kept = [_thinned(line) for line in lines]
  kept = [line for line in kept if len(line.x)]
  if not kept:
    return ""
  xs, ys = (np.concatenate([getattr(k, a) for k in kept]) for a in "xy")
  if diagonal:
    xs, ys = np.append(xs, [0, 1]), np.append(ys, [0, 1])
  x0, x1, y0, y1 = (*_span(xs), *_span(ys))

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
    parts.append(f'<path class="grid" d="M{place(0, 0)}L{place(1, 1)}"/>')
  for line in kept:
    colour = COLOURS[line.colour % len(COLOURS)]
    points = [place(x, y) for x, y in zip(line.x, line.y, strict=True)]
    parts.append(
      f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" '
      f'points="{" ".join(points)}"/>'
    )
    if line.dots:
      parts += [
        f'<circle r="2.5" fill="{colour}" cx="{p.split(",")[0]}" '
        f'cy="{p.split(",")[1]}"/>'
        for p in points
      ]
  return _figure(title, parts, legend_of(kept), x_label)


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


def _text(x: float | str, y: float | str, text: str, anchor: str) -> str:
  return (
    f'<text x="{x}" y="{y}" text-anchor="{anchor}">{html.escape(text)}</text>'
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
  return dataclasses.replace(line, x=x, y=y)


def _span(values: np.ndarray) -> tuple[float, float]:
  low, high = float(values.min()), float(values.max())
  return (low, high) if high > low else (low - 0.5, high + 0.5)


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
  return [(tick, f"{tick:{form}}") for tick in ticks]
