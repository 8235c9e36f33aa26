"""The steps of a plan, compiled for TPUs that are elsewhere."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from engine.loop.evaluator import Evaluator
from engine.loop.trainer import Trainer
from engine.planning.largest_batch import find_largest
from engine.planning.lowering import Lowered, lower, replica_specs
from engine.planning.plan import Batches
from engine.planning.tpu import Compiler


class PlannedStep:
  """A step that was planned, and its program for each shape."""

  def __init__(
    self,
    name: str,
    batches: Batches,
    loop: Trainer | Evaluator,
    strategy: tf.distribute.Strategy,
  ):
    """Initializes the step.

    Args:
      name: "train" or "eval".
      batches: that occur.
      loop: the trainer or the evaluator that takes it.
      strategy: of `compile_only_strategy`, for which the loop was built.
    """
    self.name = name
    self.batches = batches
    self.source = loop.inputs.source
    self.replicas = strategy.num_replicas_in_sync
    self._step = loop.replica_step
    self._strategy = strategy
    self.lowered = functools.cache(self._lowered)

  def _lowered(self, shape: tuple[int, ...]) -> Lowered:
    specs = replica_specs(self.source, shape, self.replicas)
    return lower(self._step, specs, self._strategy)


def compile_steps(
  compiler: Compiler,
  steps: Sequence[PlannedStep],
  *,
  largest: str,
  say: Callable[..., None],
) -> dict[str, dict[str, Any]]:
  """Compiles each step for the largest shape that occurs.

  Args:
    compiler: of the topology.
    steps: of the plan.
    largest: how many examples fit a device: "estimate" or "search" it, or
      leave it "off".
    say: (text, end=...) -> None; tells a user who waits.

  Returns:
    Name of a step -> what the compiler said, the `shape`, the `examples` of one
    device, the ops of `dynamic` sizes, and the `largest` number of examples.

  Raises:
    UserError: where a step holds what XLA does not take.
  """
  # Seconds: what is refused here should not wait for the compiler.
  for step in steps:
    step.lowered(step.batches.shapes[0][0])
  return {
    step.name: _compile(
      compiler,
      step,
      # Evaluation holds less than training does.
      largest=largest if step.name == "train" else "off",
      say=say,
    )
    for step in steps
  }


def _compile(
  compiler: Compiler,
  step: PlannedStep,
  *,
  largest: str,
  say: Callable[..., None],
) -> dict[str, Any]:
  shape, occurs = step.batches.shapes[0]
  examples = step.source.examples(shape) // step.replicas

  @functools.cache
  def compile_examples(count: int) -> dict[str, Any]:
    say(f"compiling the {step.name} step, {count} examples a device: ", end="")
    lowered = step.lowered(step.source.scaled(shape, count / examples))
    result = compiler.compile(lowered.hlo, replicas=step.replicas)
    seconds = result.get("compile_seconds")
    say(f"{seconds:.0f} s" if result["ok"] else f"no ({result['kind']})")
    return result

  result = compile_examples(examples)
  granted = compiler.facts["granted_bytes"]
  found = None
  if largest != "off" and granted and result.get("kind") in (None, "memory"):
    found = find_largest(
      compile_examples,
      examples=examples,
      granted=granted,
      search=largest == "search",
    )
  return {
    "shape": shape,
    "occurs_in_steps": occurs,
    "examples": examples,
    "dynamic": step.lowered(shape).dynamic,
    "largest": found and dataclasses.asdict(found),
    **result,
  }
