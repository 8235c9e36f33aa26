"""One self-contained page about some runs."""

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from engine.files import write_atomically
from launch.pages.charts import Line, line_chart, stacked_bars
from launch.pages.facts import (
  _BINS,
  Run,
  _are_classes,
  _are_scores,
  _softmax,
  calibration,
)

_LENGTHS = 5  # Groups of examples by length.
_MISTAKES = 20  # That are shown of a split.
_STYLE = """
:root{color-scheme:light dark;--line:#8884}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1100px;
padding:1rem}
h1{font-size:1.4rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.grid-of{display:grid;gap:1rem;
grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr))}
figure{margin:0}figcaption{font-weight:600}small{font-weight:400;opacity:.7}
svg{width:100%;height:auto;overflow:visible}
svg text{font-size:11px;fill:currentColor}svg .grid{stroke:var(--line)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem .8rem;font-size:.85rem}
.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.3em}
.bar{display:flex;height:1.4rem;margin:.2rem 0 .6rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}
td,th{padding:.25rem .6rem;border-bottom:1px solid var(--line);
text-align:left;vertical-align:top}
td.number{text-align:right;font-variant-numeric:tabular-nums}
td.other{background:#d98c3f33}code,pre{font-size:.85rem;overflow-wrap:anywhere;
white-space:pre-wrap}
"""


def write_page(directories: Sequence[str], path: str) -> None:
  """Writes the page of some runs, whole or not at all.

  Raises:
    UserError: where one of the directories holds no run.
  """
  runs = [Run.read(directory) for directory in directories]
  write_atomically(path, page_of(runs))


def page_of(runs: Sequence[Run]) -> str:
  """Returns the page of some runs as HTML."""
  title = " and ".join(run.name for run in runs[:3])
  if len(runs) > 3:
    title += f" and {len(runs) - 3} more"
  body = [
    f"<h1>{html.escape(title)}</h1>",
    _summary(runs),
    _section("Curves", _curves(runs)),
    f"<h2>Where the seconds went</h2>{_ledger(runs)}",
  ]
  for run in runs:
    for split, table in run.splits.items():
      body.append(
        _section(
          f"{run.name}, {split} at step {int(table['step'])}",
          _charts(table),
        )
      )
      body += _tables(run, table)
  body += [_settings(runs), _environment(runs)]
  return (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta '
    'name="viewport" content="width=device-width,initial-scale=1">'
    f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
    f"<body>{''.join(body)}</body></html>\n"
  )


def _section(title: str, figures: Iterable[str]) -> str:
  drawn = "".join(figures)
  if not drawn:
    return ""
  return f'<h2>{html.escape(title)}</h2><div class="grid-of">{drawn}</div>'


def _table(
  title: str, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> str:
  """Returns a table; numbers stand on the right, `Marked` cells are marked."""
  lines = []
  for row in rows:
    cells = []
    for cell in row:
      kind = "number" if isinstance(cell, int | float) else ""
      if isinstance(cell, Marked):
        kind = "other"
      cells.append(f'<td class="{kind}">{html.escape(_said(cell))}</td>')
    lines.append(f"<tr>{''.join(cells)}</tr>")
  if not lines:
    return ""
  names = "".join(f"<th>{html.escape(name)}</th>" for name in header)
  heading = f"<h2>{html.escape(title)}</h2>" if title else ""
  return (
    f'{heading}<div class="scroll"><table><tr>{names}</tr>{"".join(lines)}'
    "</table></div>"
  )


class Marked(str):
  """A cell that differs from its neighbours."""


def _said(value: Any) -> str:
  if isinstance(value, float):
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"
  return f"{value:,}" if isinstance(value, int) else str(value)


def _summary(runs: Sequence[Run]) -> str:
  rows = []
  names = dict.fromkeys(
    name
    for run in runs
    for name, value in (run.result.get("eval") or {}).items()
    if isinstance(value, int | float)
  )
  for run in runs:
    evaluation = run.result.get("eval") or {}
    train = run.result.get("train", {})
    steps = run.lines[-1]["step"] if run.lines else 0
    rows.append(
      [
        run.name,
        run.result.get("global_step", f"goes on: {steps}"),
        *(evaluation.get(name, "") for name in names),
        train.get("examples_per_second", ""),
        train.get("padding", ""),
        train.get("mfu") or "",
        run.result.get("goodput", ""),
      ]
    )
  header = ["run", "steps", *names, "examples/s", "padding", "MFU", "goodput"]
  return _table("", header, rows)


def _curves(runs: Sequence[Run]) -> Iterable[str]:
  def chart(title, kind, name):
    lines = [
      Line(run.name, *run.points(kind, name), colour=i, dots=kind == "eval")
      for i, run in enumerate(runs)
    ]
    return line_chart(title, lines)

  yield chart("training loss", "train", "loss")
  seen = dict.fromkeys(
    name
    for run in runs
    for line in run.lines
    if line["kind"] == "eval"
    for name, value in line.items()
    if isinstance(value, float) and not name.endswith("majority")
  )
  for name in seen:
    yield chart(f"evaluation: {name}", "eval", name)
  for name in ("learning_rate", "gradient_norm", "examples_per_second"):
    yield chart(name.replace("_", " "), "train", name)


def _ledger(runs: Sequence[Run]) -> str:
  rows = []
  for run in runs:
    booked = [line["ledger"] for line in run.lines if "ledger" in line]
    parts = run.result.get("ledger") or (booked[-1] if booked else {})
    rows.append((run.name, list(parts.items())))
  return stacked_bars("", rows)


def _charts(table: Mapping[str, np.ndarray]) -> Iterable[str]:
  """Charts of what an evaluation said of each example."""
  outputs, labels = table.get("outputs"), table["labels"]
  if _are_scores(table):
    scores = outputs[:, 0]
    order = np.argsort(labels, kind="stable")
    groups = np.array_split(order, min(_BINS, len(order)))
    means = [[float(x[g].mean()) for g in groups] for x in (labels, scores)]
    yield line_chart(
      "mean score", [Line("", *means, dots=True)], x_label="label"
    )
    yield _by_length(table, np.square(scores - labels), "squared error")
    return
  if not _are_classes(table):
    return
  shares = _softmax(outputs)
  sure, right = shares.max(-1), shares.argmax(-1) == labels
  confidences, accuracies, error = calibration(sure, right)
  yield line_chart(
    f"accuracy (expected calibration error {error:.3f})",
    [Line("", confidences, accuracies, dots=True)],
    x_label="confidence",
    diagonal=True,
  )
  yield _by_length(table, right.astype(float), "accuracy")


def _by_length(
  table: Mapping[str, np.ndarray], values: np.ndarray, name: str
) -> str:
  """Draws the mean of values for groups of examples of similar size."""
  sizes = table["sizes"]
  if len(set(sizes.tolist())) < 2:
    return ""
  order = np.argsort(sizes, kind="stable")
  groups = np.array_split(order, min(_LENGTHS, len(order)))
  means = [[float(x[g].mean()) for g in groups] for x in (sizes, values)]
  return line_chart(name, [Line("", *means, dots=True)], x_label="length")


def _tables(run: Run, table: Mapping[str, np.ndarray]) -> Iterable[str]:
  """Confusion matrix, and the examples with the largest losses."""
  outputs, labels = table.get("outputs"), table["labels"]
  tell: Callable[[int], str] = lambda i: f"loss {table['losses'][i]:.3f}"
  if _are_classes(table):
    shares = _softmax(outputs)
    called = shares.argmax(-1)
    classes = outputs.shape[1]
    names = [str(i) for i in range(classes)]
    if len(run.classes) == classes:
      names = list(run.classes)
    matrix = np.zeros([classes, classes], int)
    np.add.at(matrix, (labels, called), 1)
    yield _table(
      "Confusion",
      ["label", *(f"called {name}" for name in names)],
      [[name, *row] for name, row in zip(names, matrix.tolist(), strict=True)],
    )
    tell = lambda i: (
      f"{names[labels[i]]}, called {names[called[i]]} ({shares[i].max():.1%})"
    )
  elif _are_scores(table):
    tell = lambda i: f"{labels[i]:.2f}, called {outputs[i, 0]:.2f}"
  worst = zip(table["worst"].tolist(), table["texts"].tolist(), strict=True)
  yield _table(
    "Most confident mistakes: the largest losses",
    ["label", "example"],
    [[tell(i), text] for i, text in list(worst)[:_MISTAKES]],
  )


def _settings(runs: Sequence[Run]) -> str:
  """All settings; those in which runs differ are marked."""
  rows = []
  for name in dict.fromkeys(name for run in runs for name in run.config):
    values = [_setting(run.config.get(name)) for run in runs]
    if len(set(values)) > 1:
      values = [Marked(value) for value in values]
    rows.append([name, *values])
  return _table("Settings", ["setting", *(run.name for run in runs)], rows)


def _setting(value: Any) -> str:
  return str(value) if value not in ("", None, [], ()) else "-"


def _environment(runs: Sequence[Run]) -> str:
  parts = []
  for run in runs:
    facts = {
      name: run.result[name]
      for name in ("versions", "hardware", "threads")
      if name in run.result
    }
    command = html.escape(run.result.get("command", ""))
    told = html.escape(yaml.safe_dump(facts, sort_keys=False)) if facts else ""
    parts.append(
      f"<h2>{html.escape(run.name)}</h2><code>{command}</code><pre>{told}</pre>"
    )
  return "".join(parts)
