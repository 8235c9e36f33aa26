"""One self-contained page about some runs."""

import contextlib
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import yaml

from engine.files import DISK_ERRORS, is_local, sweep_parts, write_atomically
from engine.measure.result import told_best, told_weights
from engine.measure.terminal import INTERVALS, OF_RECORD
from launch.pages import comparison_text, evaluation, markup, progress
from launch.pages.charts import stacked_bars
from launch.pages.facts import Run, read_runs
from launch.pages.sides import metrics_of
from tasks.calibration import ERRORS


def write_page(
  directories: Sequence[str], path: str, *, named: bool = False
) -> list[str]:
  """Writes the page of some runs, as `engine.files.whole` does.

  Returns:
    What of their files it had to leave out.

  Raises:
    UserError: where one of the directories holds no run.
  """
  runs = read_runs(directories)
  write_atomically(path, page_of(runs), named=named)
  with contextlib.suppress(*DISK_ERRORS):
    if is_local(path):
      sweep_parts(path)
  return [f"{run.name}: {what}" for run in runs for what in run.left_out]


def is_due(path: str, result: str) -> bool:
  """Whether the page at a path is missing, or older than a run's result."""
  try:
    written, ended = (tf.io.gfile.stat(x).mtime_nsec for x in (path, result))
    return written < ended
  except DISK_ERRORS:
    return True


def page_of(runs: Sequence[Run]) -> str:
  """Returns the page of some runs as HTML."""
  title = " and ".join(run.name for run in runs[:3])
  if len(runs) > 3:
    title += f" and {len(runs) - 3} more"
  body = [
    f"<h1>{html.escape(title)}</h1>",
    *(_about(run, several=len(runs) > 1) for run in runs),
    _summary(runs),
    *_remarks(runs),
    comparison_text.section(runs),
    *(_calibration(run) for run in runs if run.calibration),
    markup.section("Curves", progress.charts(runs)),
    f"<h2>Where the seconds went</h2>{_ledger(runs)}",
  ]
  for run in runs:
    for split, table in run.splits.items():
      body.append(
        markup.section(
          f"{run.name}, {split} at step {int(table['step'])}",
          evaluation.charts(table),
        )
      )
      body.append(evaluation.without_marked(table, metrics_of(run, split)))
      body += evaluation.tables(table, run.classes)
  body += [_settings(runs), _environment(runs)]
  return markup.document(title, "".join(body))


def _about(run: Run, *, several: bool) -> str:
  """Says what a run learned, with what, and when."""
  encoder = run.config.get("task.encoder", "")
  parts = [
    run.name if several else "",
    f"task {run.config.get('task.name') or '-'}",
    f"encoder {encoder}" if encoder else "",
    f"seed {run.config.get('train.seed', 0)}",
    run.when,
  ]
  return f'<p class="about">{html.escape(", ".join(filter(None, parts)))}</p>'


def _summary(runs: Sequence[Run]) -> str:
  """The last evaluation and the rates: a row each, a column for each run."""
  columns: list[dict[str, Any]] = []
  for run in runs:
    found, train = run.result.get("eval") or {}, run.result.get("train", {})
    last = run.lines[-1]["step"] if run.lines else 0
    columns.append(
      {
        "steps": _told(run.result, "global_step") or f"goes on: {last}",
        **{
          name.replace(OF_RECORD, "metric of record"): _told(found, name)
          for name, value in found.items()
          if isinstance(value, int | float | str)
        },
        "examples/s": _told(train, "examples_per_second"),
        "padding": _told(train, "padding"),
        "MFU": _told(train, "mfu"),
        "goodput": _told(run.result, "goodput"),
      }
    )
  names = dict.fromkeys(name for column in columns for name in column)
  known = lambda name: [column.get(name, "") for column in columns]
  rows = [[name, *known(name)] for name in names if any(known(name))]
  missing = [
    f"<p>Left out of {html.escape(run.name)}: {html.escape(what)}.</p>"
    for run in runs
    for what in run.left_out
  ]
  header = ["", *(run.name for run in runs)]
  return markup.table("", header, rows) + "".join(missing)


def _remarks(runs: Sequence[Run]) -> Iterable[str]:
  """Says of each run what nobody should overlook."""
  for run in runs:
    collapsed = (run.result.get("eval") or {}).get("collapsed")
    weights, best = told_weights(run.result), told_best(run.result)
    for remark in (
      collapsed and f"collapsed: {collapsed}",
      run.overfitting,
      weights and f"evaluated are {weights}",
      best and f"better weights: {best}",
    ):
      if remark:
        told = f"{remark[0].upper()}{remark[1:]}."
        if len(runs) > 1:
          told = f"{run.name}: {remark}."
        yield f"<p>{html.escape(told)}</p>"
  seen: dict[str, str] = {}
  for run in runs:
    digest = run.result.get("weights_sha256", run.name)
    if digest in seen:
      told = f"{run.name} and {seen[digest]} have the same weights, to the bit."
      yield f"<p>{html.escape(told)}</p>"
    seen.setdefault(digest, run.name)


def _told(evaluation: Mapping[str, Any], name: str) -> str:
  """Returns a number; as `0.8056 [0.7645, 0.8411]` where that is known."""
  value = evaluation.get(name)
  if value is None:
    return ""
  split, slash, metric = name.rpartition("/")
  known = evaluation.get(f"{split}{slash}{INTERVALS}") or {}
  if metric not in known:
    return markup.said(value)
  return markup.with_interval(value, *known[metric])


def _calibration(run: Run) -> str:
  """What a temperature mends, on examples that it was not fitted on."""
  kept, rows = run.calibration, []
  columns = [(x, when) for x in ERRORS for when in ("before", "after")]
  for name, report in kept["reports"].items():
    told = f"{name}, by halves" if name == kept["split"] else name
    errors = (float(report[when][error]) for error, when in columns)
    least = float(report["least"]["ece"])
    rows.append([told, report["examples"], *errors, least])
  return markup.table(
    f"{run.name}: temperature {kept['temperature']:.4f}, fitted on "
    f"{kept['split']} at step {kept['step']}",
    ["split", "examples", *map(" ".join, columns), "ece by chance"],
    rows,
  )


def _ledger(runs: Sequence[Run]) -> str:
  rows = []
  for run in runs:
    booked = [line["ledger"] for line in run.lines if "ledger" in line]
    parts = run.result.get("ledger") or (booked[-1] if booked else {})
    rows.append((run.name, list(parts.items())))
  return stacked_bars("", rows)


def _settings(runs: Sequence[Run]) -> str:
  """All settings; those in which runs differ are marked."""
  rows = []
  for name in dict.fromkeys(name for run in runs for name in run.config):
    values = [_setting(run.config.get(name)) for run in runs]
    if len(set(values)) > 1:
      values = [markup.Marked(value) for value in values]
    rows.append([name, *values])
  return markup.table(
    "Settings", ["setting", *(run.name for run in runs)], rows
  )


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
