"""Says whether a run is better: python -m launch.compare RUN RUN."""

from absl import flags

from engine.errors import printable
from launch.command.checks import check_runs
from launch.command.door import run_door
from launch.command.imports import slow_imports

flags.DEFINE_string("split", "", "On which split; by default the first one.")
flags.DEFINE_string("metric", "", "Metric to judge by; by default the task's.")
flags.DEFINE_integer(
  "flips", 5, "Examples to show that were gained, and lost.", lower_bound=0
)


def main(first: str, second: str) -> None:
  """Prints how the second side differs from the first, and the verdict."""
  values = flags.FLAGS
  for side in (first, second):
    check_runs(side)
  # Imported behind the checks: TensorFlow takes seconds.
  with slow_imports():
    from launch.pages.comparison import compare
    from launch.pages.comparison_text import lines
    from launch.pages.sides import read_side

  found = compare(
    read_side(first),
    read_side(second),
    split=values.split,
    metric=values.metric,
  )
  print(printable("\n".join(lines(found, values.flips))))


if __name__ == "__main__":
  run_door(
    main,
    "Compares two runs, or two directories of --seeds, example by example.",
    files=("RUNS", "RUNS"),
  )
