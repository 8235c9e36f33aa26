"""What a run reports in the end: rates, digest, versions, hardware."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tf_keras

from engine.measure.ledger import Work
from engine.measure.peaks import LEAST_FLOPS, Peak
from engine.measure.terminal import INTERVALS, OF_RECORD, scores


def rates(
  work: Work, accelerators: int, peak: Peak | None = None
) -> dict[str, Any]:
  """Rates of the timed steps, over all accelerators and for each.

  Args:
    work: what the timed steps worked on; their time is that of the step
      bucket alone.
    accelerators: devices that shared the work.
    peak: of all of them, where it is known.
  """
  if not work.steps:
    return {"timed_steps": 0}
  total = {
    "examples_per_second": work.examples / work.seconds,
    "steps_per_second": work.steps / work.seconds,
    "real_tokens_per_second": work.units / work.seconds,
    "padded_tokens_per_second": work.capacity / work.seconds,
  }
  if work.flops:
    total["model_flops_per_second"] = work.flops / work.seconds
  if work.flops and peak:
    total["peak_flops_per_second"] = peak.flops_per_second
  each = {
    f"{name}_per_accelerator": value / accelerators
    for name, value in total.items()
  }
  return {
    **total,
    **each,
    "timed_steps": work.steps,
    "padding": 1 - work.units / work.capacity,
    **_utilisation(work, peak),
  }


def _utilisation(work: Work, peak: Peak | None) -> dict[str, Any]:
  """Utilisation on real units, or why it is not known.

  `mfu` counts the operations of the model, whatever spares some of them, so it
  compares programs; `hfu` those that were executed, so it tells how busy the
  hardware was (Chowdhery et al., arXiv 2204.02311, appendix B).
  """
  if work.flops and peak:
    possible = work.seconds * peak.flops_per_second
    return {
      "mfu": work.flops / possible,
      "hfu": (work.executed_flops or 0.0) / possible or None,
      "peak_source": peak.source,
    }
  if work.flops is None:
    reason = "some steps were made by a version that counted otherwise"
  elif not work.flops:
    reason = "the task counts no operations"
  else:
    reason = (
      f"the timed steps did {work.flops:.1e} operations, and the peak is "
      f"found from {LEAST_FLOPS:.0e} on"
    )
  return {"mfu": None, "mfu_unknown": reason}


def weights_sha256(model: tf_keras.Model) -> str:
  """Digest of all weights, in the order of the model."""
  digest = hashlib.sha256()
  for weight in model.weights:
    digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
  return digest.hexdigest()


def weights_at(step: int, *, averages: object) -> dict[str, Any]:
  """Returns which weights an evaluation of the newest ones speaks of.

  Args:
    step: at which they are.
    averages: of them, which are evaluated where there are some.
  """
  return {"which": "last", "step": step, "averaged": averages is not None}


def told_weights(result: Mapping[str, Any]) -> str:
  """Says which weights a result speaks of; "" where an old one does not."""
  weights = result.get("eval_weights")
  if not weights:
    return ""
  average = "the average of " if weights["averaged"] else ""
  text = f"{average}the {weights['which']} weights, of step {weights['step']}"
  if (result.get("best") or {}).get("step") == weights["step"]:
    text += ", which are the best"
  return text


def told_best(result: Mapping[str, Any]) -> str:
  """Says where better weights are than those evaluated; "" where none are."""
  best = result.get("best")
  if not best or best["step"] == result["global_step"]:
    return ""
  if (result.get("eval") or {}).get(best["metric"]) == best["value"]:
    return ""  # An earlier evaluation was as good.
  return (
    f"{best['metric']} {best['value']:.4f} at step {best['step']}: "
    f"best/ckpt-{best['step']}, for --checkpoint=best"
  )


def summary_lines(result: Mapping[str, Any], directory: str) -> list[str]:
  """The last lines that a user of a run sees.

  Args:
    result: what `result.json` holds.
    directory: of the run.
  """
  lines = [f"finished at step {result['global_step']}"]
  if result.get("stopped_early"):
    lines[0] += ": stopped early, the last evaluations brought nothing better"
  evaluation, train = result["eval"], result["train"]
  if evaluation:
    said = scores(evaluation)
    if evaluation.get(OF_RECORD) not in evaluation.get(INTERVALS, {}):
      said += f"  of {evaluation['examples_seen']:,}"
    lines.append(f"  evaluation   {said}")
    if weights := told_weights(result):
      lines.append(f"  weights      evaluated are {weights}")
    if best := told_best(result):
      lines.append(f"  best         {best}")
  if train["timed_steps"]:
    lines.append(
      f"  throughput   {train['examples_per_second']:.1f} examples/s  "
      f"{train['real_tokens_per_second']:.0f} real tokens/s  "
      f"{train['padding']:.1%} padding  ({result['replicas']} replica(s))"
    )
  if train.get("mfu"):
    origin = {"measured": "measured here", "published": "as published"}
    lines.append(
      f"  utilisation  {train['mfu']:.1%} of "
      f"{_si(train['peak_flops_per_second'])}FLOP/s in {result['precision']}, "
      f"{origin[train['peak_source']]}"
    )
  if "goodput" in result:
    down, restarts = result["down_seconds"], result["restarts"]
    wall = sum(result["ledger"].values()) + down
    told = f"  ({restarts} restart(s), {down:.1f} s down)" if restarts else ""
    lines.append(
      f"  goodput      {result['goodput']:.1%} of {wall:.1f} s went into steps "
      f"that count{told}"
    )
  spent = "  ".join(
    f"{bucket} {seconds:.1f}"
    for bucket, seconds in result["ledger"].items()
    if seconds >= 0.05
  )
  saves = result["checkpoints"]
  checkpoint = os.path.join(
    directory, "checkpoints", f"ckpt-{result['global_step']}"
  )
  if lost := dict(result.get("lost") or {}):
    steps = lost.pop("best", [])
    parts = [
      f"{found} line(s) of {name}"
      if isinstance(found, int)
      else f"the action {name} ({found})"
      for name, found in lost.items()
    ]
    parts += [f"the weights of step {step}, among the best" for step in steps]
    lines.append(f"  lost         {', '.join(parts)}")
  return [
    *lines,
    f"  seconds      {spent}",
    f"  checkpoint   {checkpoint}  (stall of a save: "
    f"{saves['stall_seconds_mean']:.2f} s)",
    f"  resume with  {result['command']}",
  ]


def _si(number: float) -> str:
  """Returns `1.23 T` for 1.23e12: three digits and a prefix."""
  exponent = min(15, max(0, int(np.log10(max(number, 1.0))) // 3 * 3))
  prefix = {0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}[exponent]
  return f"{number / 10**exponent:.3g} {prefix}"
