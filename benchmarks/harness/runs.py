"""What a run that a benchmark started has written."""

from typing import Any


def read_run(model_dir: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
  """Reads a finished run: its result, and the lines of its journal."""
  # Imported here: TensorFlow takes seconds.
  from engine.durability.run_directory import RunDirectory
  from engine.lines.reading import read_jsonl

  run = RunDirectory(model_dir)
  result = run.result()
  assert result, f"{model_dir} has no result"
  return result, read_jsonl(run.file("metrics.jsonl"))
