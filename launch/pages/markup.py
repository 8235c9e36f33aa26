"""The parts of a page in HTML: the document, sections, tables."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

BEGIN = '<!doctype html><html lang="en"><meta charset="utf-8"><meta '
_STYLE = """
:root{color-scheme:light dark;--line:#8884}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1100px;
padding:1rem}
h1{font-size:1.4rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.grid-of{display:grid;gap:1rem;
grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr))}
figure{margin:0}figcaption{font-weight:600}small{font-weight:400;opacity:.7}
svg{width:100%;height:auto;overflow:visible}
svg text{font-size:11px;fill:currentColor}svg .grid{stroke:var(--line)}
svg .mark{stroke:currentColor;stroke-dasharray:3 3;opacity:.6}
svg .hover{opacity:0}svg circle:hover{opacity:1;stroke:currentColor}
svg .count{font-size:9px}
@media (prefers-color-scheme:dark){
polyline,circle,.legend i,.bar{filter:brightness(1.4)}}
.about{margin:-.6rem 0 1rem;opacity:.7}
.legend{display:flex;flex-wrap:wrap;gap:.2rem .8rem;font-size:.85rem}
.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.3em}
.bar{display:flex;height:1.4rem;margin:.2rem 0 .6rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}
td,th{padding:.25rem .6rem;border-bottom:1px solid var(--line);
text-align:left;vertical-align:top}
.number{text-align:right;font-variant-numeric:tabular-nums}
@media(max-width:500px){td,th{padding:.25rem .3rem}}
td.other{background:#d98c3f33}code,pre{font-size:.85rem;overflow-wrap:anywhere;
white-space:pre-wrap}
"""


def document(title: str, body: str) -> str:
  """Returns a page that needs nothing from elsewhere.

  Args:
    title: as text.
    body: as HTML.
  """
  return (
    f'{BEGIN}name="viewport" content="width=device-width,initial-scale=1">'
    f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
    f"<body>{body}</body></html>\n"
  )


def section(title: str, figures: Iterable[str]) -> str:
  """Returns figures below their title; nothing where there are none."""
  drawn = "".join(figures)
  if not drawn:
    return ""
  return f'<h2>{html.escape(title)}</h2><div class="grid-of">{drawn}</div>'


def table(
  title: str, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> str:
  """Returns a table; numbers stand on the right, `Marked` cells are marked."""
  lines = []
  rows = [*rows]
  for row in rows:
    cells = []
    for cell in row:
      kind = "number" if _is_number(cell) else ""
      if isinstance(cell, Marked):
        kind = "other"
      cells.append(f'<td class="{kind}">{html.escape(said(cell))}</td>')
    lines.append(f"<tr>{''.join(cells)}</tr>")
  if not lines:
    return ""
  numbers = [all(map(_is_number, column)) for column in zip(*rows, strict=True)]
  names = "".join(
    f'<th class="{"number" * is_number}">{html.escape(name)}</th>'
    for name, is_number in zip(header, numbers, strict=True)
  )
  heading = f"<h2>{html.escape(title)}</h2>" if title else ""
  return (
    f'{heading}<div class="scroll"><table><tr>{names}</tr>{"".join(lines)}'
    "</table></div>"
  )


def _is_number(cell: Any) -> bool:
  return isinstance(cell, int | float)


class Marked(str):
  """A cell that differs from its neighbours."""


def with_interval(value: float, low: float, high: float) -> str:
  """Returns a number and its interval, which is not cut in two."""
  return f"{value:.4f} [{low:.4f},\u00a0{high:.4f}]"


def said(value: Any) -> str:
  """Returns a cell as a table shows it."""
  if isinstance(value, float):
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"
  return f"{value:,}" if isinstance(value, int) else str(value)
