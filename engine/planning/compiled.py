"""The steps of a plan, compiled for devices that are elsewhere."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from engine.loop.evaluator import Evaluator
from engine.loop.trainer import AHEAD, Trainer
from engine.planning.compiler import Compiler, needed_bytes
from engine.planning.largest_batch import find_largest
from engine.planning.lowering import Lowered, lower, replica_specs
from engine.planning.plan import Batches

# What a step of training takes beside its batch; no feature is called so.
_STEP, _CLOSES, _SIGNALS = "/global_step", "/closes", "/signals"


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
    self._loop = loop
    self._strategy = strategy
    self.lowered = functools.cache(self._lowered)

  def batch_bytes(self, shape: tuple[int, ...]) -> int:
    """Returns the bytes of a batch that one device is given."""
    specs = replica_specs(self.source, shape, self.replicas).values()
    return sum(x.shape.num_elements() * x.dtype.size for x in specs)

  def _lowered(self, shape: tuple[int, ...]) -> Lowered:
    """Lowers all that the device does, from one log point to the next."""
    specs = replica_specs(self.source, shape, self.replicas)
    if isinstance(self._loop, Evaluator):
      return lower(self._loop.replica_step, specs, self._strategy)
    program = self._loop.device_step.program(shape)
    more = {
      _STEP: tf.TensorSpec([], tf.int64),
      _CLOSES: tf.TensorSpec([], tf.bool),
      _SIGNALS: tf.TensorSpec([self.replicas if self.replicas > 1 else 0, 2]),
    }

    def step(arrays):
      batch = {name: x for name, x in arrays.items() if name not in more}
      return program(batch, *(arrays[name] for name in more))

    return lower(step, specs | more, self._strategy, whole=True)


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
    device, the bytes of its batch and of those it has `ahead`, the ops of
    `dynamic` sizes, and the `largest` number of examples.

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
  granted = compiler.facts["granted_bytes"]

  @functools.cache
  def compile_examples(count: int) -> dict[str, Any]:
    say(f"compiling the {step.name} step, {count} examples a device: ", end="")
    scaled = step.source.scaled(shape, count / examples)
    lowered = step.lowered(scaled)
    result = compiler.compile(lowered.hlo, replicas=step.replicas)
    # Those that wait behind the one that runs.
    ahead = AHEAD if step.name == "train" else 1
    result["ahead_bytes"] = ahead * step.batch_bytes(scaled)
    if result["ok"] and granted and needed_bytes(result) > granted:
      # The compiler for GPUs refuses nothing for its size, and none knows of
      # the batches that wait.
      needed = needed_bytes(result)
      result = {"ok": False, "kind": "memory", "needed_bytes": needed}
    seconds = result.get("compile_seconds")
    say(f"{seconds:.0f} s" if result["ok"] else f"no ({result['kind']})")
    return result

  result = compile_examples(examples)
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
    "batch_bytes": step.batch_bytes(shape),
    "dynamic": step.lowered(shape).dynamic,
    "largest": found and dataclasses.asdict(found),
    **result,
  }
