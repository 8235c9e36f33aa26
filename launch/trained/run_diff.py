"""Where two runs part: the first step, share and tensor that differ."""

import os
from collections.abc import Mapping
from typing import Any

from engine.errors import Unreadable, UserError
from launch.trained.checkpoint_diff import compare, tell
from launch.trained.shelf import checkpoints_of


def diff_runs(first: str, second: str) -> int:
  """Compares the log points and checkpoints that two runs have in common.

  Log points tell where `--log_weights_digest` was given to both; checkpoints
  hold all variables.

  Args:
    first: directory of a run.
    second: of the other one.

  Returns:
    0 if all that was compared is equal.

  Raises:
    UserError: where they have nothing to compare.
  """
  print(f"- {first}\n+ {second}")
  ours, theirs = _points(first), _points(second)
  logged = sorted(ours.keys() & theirs.keys())
  saved, others = _checkpoints(first), _checkpoints(second)
  steps = sorted(saved.keys() & others.keys())
  if not logged and not steps:
    raise UserError(
      f"{first} and {second} have no checkpoint of one step, nor log points "
      "with digests: train both with --log_weights_digest."
    )
  status = 0
  for step in logged:
    if parts := _parting(ours[step], theirs[step]):
      print(f"log points: the first that differs is of step {step}{parts}")
      status = 1
      break
  else:
    if logged:
      print(f"log points: {len(logged)} are equal, up to step {logged[-1]}")
  for step in steps:
    found = compare(*_readers(saved[step], others[step]))
    if any(found):
      print(f"checkpoints: the first that differs is of step {step}")
      return tell(*found)
  if steps:
    shown = ", ".join(map(str, steps))
    print(f"checkpoints: all variables are bitwise equal (steps {shown})")
  return status


def _points(run: str) -> dict[int, Mapping[str, Any]]:
  """Step -> the log point of training that has a digest."""
  from engine.lines.reading import read_jsonl
  from engine.measure.journal import POINT

  shape = {**POINT, "weights_sha256?": str, "share_losses?": list}
  lines = read_jsonl(os.path.join(run, "metrics.jsonl"), shape)
  return {
    x["step"]: x
    for x in lines
    if x["kind"] == "train" and "weights_sha256" in x
  }


def _parting(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
  """Says what differs in a step; nothing does where it is empty."""
  shares = [x.get("share_losses") or [] for x in (ours, theirs)]
  for i, losses in enumerate(zip(*shares, strict=False)):
    if losses[0] != losses[1]:
      return f", share {i}: loss {losses[0]!r} | {losses[1]!r}"
  if ours["weights_sha256"] == theirs["weights_sha256"]:
    return ""
  return ", in the weights" + (", after equal losses" if shares[0] else "")


def _checkpoints(run: str) -> dict[int, str]:
  """Step -> prefix, of the finished ones with all variables."""
  from engine.durability import manifest

  return {
    manifest.step_of(prefix): prefix
    for name, prefix in checkpoints_of(run)
    if manifest.is_committed(prefix) and not name.startswith("best")
  }


def _readers(*prefixes: str) -> list[Any]:
  import tensorflow as tf

  from engine.durability import manifest

  for prefix in prefixes:
    try:
      manifest.verify(prefix)
    except Unreadable as error:
      raise UserError(
        f"{prefix} cannot be compared ({error.brief}): delete it, or name two "
        "others by --step and --other_step."
      ) from error
  return [tf.train.load_checkpoint(prefix) for prefix in prefixes]
