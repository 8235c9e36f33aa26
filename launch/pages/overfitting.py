"""Whether a run has learned its training split better than anything else."""

from collections.abc import Mapping, Sequence
from typing import Any

_RISEN = 1.1  # Times the least loss: less than that is noise.


def overfitting(points: Sequence[Mapping[str, Any]]) -> str:
  """Says that the evaluation's loss rises while that of training falls.

  Args:
    points: of a run, in order, as `metrics.jsonl` has them.

  Returns:
    A sentence with the step at which it was least; "" where it does not rise.
  """
  evaluations = [x for x in points if x["kind"] == "eval" and "loss" in x]
  if len(evaluations) < 2:
    return ""
  best = min(evaluations, key=lambda x: x["loss"])
  last = evaluations[-1]
  if not last["loss"] > _RISEN * best["loss"]:
    return ""
  trained = [x for x in points if x["kind"] == "train" and "loss" in x]
  then = [x["loss"] for x in trained if x["step"] <= best["step"]]
  now = [x["loss"] for x in trained if x["step"] <= last["step"]]
  if not then or not now[-1] < then[-1]:
    return ""
  return (
    f"overfitted: since step {best['step']} the evaluation's loss has risen "
    f"from {best['loss']:.4f} to {last['loss']:.4f}, that of training fallen "
    f"from {then[-1]:.4f} to {now[-1]:.4f}"
  )
