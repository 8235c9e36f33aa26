"""How runs got on: their losses, metrics and rates, step by step."""

from collections.abc import Iterable, Iterator, Sequence

from engine.certainty.statistic import FALLING
from launch.pages.charts import Line, line_chart
from launch.pages.facts import Run

_FROM_ZERO = ("learning_rate", "gradient_norm", "examples_per_second")


def charts(runs: Sequence[Run]) -> Iterator[str]:
  """Yields the charts of some runs, each with a line for each run.

  A metric that was evaluated once is a number, and has no chart.
  """
  several = len(runs) > 1
  losses = []
  for i, run in enumerate(runs):
    before = f"{run.name}: " if several else ""
    training = run.points("train", "loss")
    losses.append(Line(f"{before}training", *training, colour=2 * i))
    evaluated = run.points("eval", "loss")
    losses.append(
      Line(f"{before}evaluation", *evaluated, colour=2 * i + 1, dots=True)
    )
  yield line_chart("loss", losses, x_from=0, y_from=0, marks=[*_best(runs)])
  for name in _metrics(runs):
    lines = [
      Line(run.name, *run.points("eval", name), colour=i, dots=True)
      for i, run in enumerate(runs)
    ]
    if any(len(line.x) > 1 for line in lines):
      yield line_chart(
        f"evaluation: {name}",
        lines,
        x_from=0,
        y_from=0 if name.rpartition("/")[2] in FALLING else None,
        marks=[*_best(runs)],
      )
  for name in _FROM_ZERO:
    lines = [
      Line(run.name, *run.points("train", name), colour=i)
      for i, run in enumerate(runs)
    ]
    yield line_chart(name.replace("_", " "), lines, x_from=0, y_from=0)


def _metrics(runs: Sequence[Run]) -> Iterable[str]:
  """The names of the metrics of all runs, but for losses and constants."""
  return dict.fromkeys(
    name
    for run in runs
    for line in run.lines
    if line["kind"] == "eval"
    for name, value in line.items()
    if isinstance(value, float)
    and name != "loss"
    and not name.endswith("majority")
  )


def _best(runs: Sequence[Run]) -> Iterator[tuple[float, str]]:
  """Yields the step of the best evaluation of each run that has several."""
  for run in runs:
    best = run.result.get("best")
    if best and len(run.points("eval", "loss")[0]) > 1:
      yield (
        best["step"],
        f"{run.name}: best {best['metric']} {best['value']:.4f}, at step "
        f"{best['step']}",
      )
