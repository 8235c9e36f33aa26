"""The doors that read a run, and what each makes of it: facts to compare."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable

from tests.support.attack.short_run import flags_of
from tests.support.doors import Ended

PAIRS = "a cat sat\ta dog sat\nthe rain in Spain\tit rains\n"
HALF, WHOLE = "half a run", "a run"
# Two checkpoints stay, so that one of them may be damaged.
MORE = ("--max_to_keep=2",)


@dataclasses.dataclass(frozen=True)
class RunDoor:
  """A door.

  Attributes:
    name: of it.
    module: of it.
    arguments: of the directory of the run.
    facts: of (how it ended, the directory): what it made.
    begins_with: `HALF` or `WHOLE`.
    stdin: what it is told.
    tells: whether what it makes is nothing but what it says of the files.
  """

  name: str
  module: str
  arguments: Callable[[pathlib.Path], tuple[str, ...]]
  facts: Callable[[Ended, pathlib.Path], dict]
  begins_with: str = WHOLE
  stdin: str = ""
  tells: bool = False


def _trained(ended, run):
  """What a training leaves; a part that cannot be read is None."""
  found = {}
  for name in ("metrics.jsonl", "example_ids.jsonl"):
    found[name] = _rows(run / name)
  try:
    result = json.loads((run / "result.json").read_bytes())
    found["weights"] = result["weights_sha256"]
    found["evaluation"] = result["eval"]
  except (OSError, ValueError, TypeError, KeyError):
    found["weights"] = None
  return found


def _rows(path):
  timed = ("ledger", "work", "examples_per_second", "steps_per_second")
  try:
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [{k: v for k, v in x.items() if k not in timed} for x in rows]
  except (OSError, ValueError, AttributeError, RecursionError):
    return None


def _said(ended, run):
  return {"out": ended.out.replace(str(run.parent), "")}


def _summary(ended, run):
  return {"first line": ended.out.partition("\n")[0]}


def _evaluation(ended, run):
  try:
    values = json.loads(ended.out.strip().splitlines()[-1])
    timed = [x for x in values if "second" in x or "ledger" in x]
    return {k: v for k, v in values.items() if k not in timed}
  except (ValueError, IndexError, TypeError, AttributeError):
    return {"out": ended.out}


def _exported(ended, run):
  found = {}
  for parent, _, names in os.walk(run.parent / "export"):
    for name in names:
      content = (pathlib.Path(parent) / name).read_bytes()
      found[name] = hashlib.sha256(content).hexdigest()
  return found


def _pruned(ended, run):
  """Which checkpoints are left; what others have put beside them is theirs."""
  found = (run / "checkpoints").glob("ckpt-[24].*")
  return {"kept": sorted(x.name for x in found)}


def _reported(ended, run):
  return {"page": (run / "report.html").is_file()}


def _train(*more):
  return lambda run: (*flags_of(run), *MORE, *more)


def _of(*arguments):
  return lambda run: (*arguments, f"--model_dir={run}")


DOORS = (
  RunDoor("resume", "launch.train", _train(), _trained, HALF),
  RunDoor("train again", "launch.train", _train(), _summary),
  RunDoor("eval", "launch.train", _train("--mode=eval"), _evaluation),
  RunDoor("predict", "launch.predict", _of(), _said, stdin=PAIRS),
  RunDoor(
    "predict best",
    "launch.predict",
    _of("--checkpoint=best"),
    _said,
    stdin=PAIRS,
  ),
  RunDoor(
    "export",
    "launch.export",
    lambda run: (
      f"--model_dir={run}",
      f"--export_dir={run.parent / 'export'}",
      "--format=huggingface",
    ),
    _exported,
  ),
  RunDoor("report", "launch.report", lambda run: (str(run),), _reported),
  RunDoor("list", "launch.checkpoints", _of("list"), _said, tells=True),
  RunDoor("verify", "launch.checkpoints", _of("verify"), _said, tells=True),
  RunDoor("prune", "launch.checkpoints", _of("prune", "--keep=1"), _pruned),
)
