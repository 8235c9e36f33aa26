"""The training loop: what is given to the device, and what comes back."""

import collections
import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orbit
import tensorflow as tf

from engine.errors import StopRequested, UserError
from engine.loop.boundary import Boundary
from engine.loop.device_step import DeviceStep, Numbers
from engine.loop.inputs import Inputs
from engine.loop.programs import Arrival, Programs, arrival, dispatching
from engine.measure.ledger import Ledger, Work
from engine.step.finite import FiniteCheck
from engine.step.replica_step import ReplicaStep
from engine.task import Layout

LogPoint = Callable[[int, Mapping[str, Any]], None]
AHEAD = 4  # Steps, at most, that wait behind the one that runs.


class Given(NamedTuple):
  """A step that the device has, and whose numbers nobody has read.

  Attributes:
    step: the global step that it was made for.
    layout: of its batch.
    examples: in its batch.
    closes: whether a log point is behind it.
    timed: whether it counts in a rate; the first of a program compiles.
    follows: whether the device had the one before when it was given.
    since: when it was given, in seconds.
    numbers: what its program returned, once it has run.
  """

  step: int
  layout: Layout
  examples: int
  closes: bool
  timed: bool
  follows: bool
  since: float
  numbers: "concurrent.futures.Future[Arrival]"


class Trainer(orbit.AbstractTrainer):
  """Trains one model on one order of batches.

      for each loop of at most `steps_per_loop` steps:
        boundary()                           # may end the loop here
        for step in loop:
          give(step, batch(step))            # the device has the next ones
          read the numbers of the oldest     # while it works on this one

  A step that is not counted (float16 tries it again; others stop) makes those
  given behind it do nothing; the host begins again where the global step is.
  """

  def __init__(
    self,
    *,
    replica_step: ReplicaStep,
    inputs: Inputs,
    strategy: tf.distribute.Strategy,
    steps_per_loop: int,
    ledger: Ledger,
    boundary: Boundary,
    log_interval: int = 0,
    xla: bool = False,
  ):
    """Initializes the trainer; call it in the scope of the strategy.

    Args:
      replica_step: what each replica does with its rows of a batch.
      inputs: the batches.
      strategy: the replicas.
      steps_per_loop: most steps between two looks at the boundary.
      ledger: where the seconds go.
      boundary: looked at between two loops.
      log_interval: steps between two log points; 0: `steps_per_loop`. There is
        one where Orbit's loop ends, too.
      xla: whether XLA compiles all of a step, on one device.
    """
    super().__init__(name="trainer")
    self.replica_step = replica_step
    self.optimizer = replica_step.optimizer
    self.global_step = self.optimizer.iterations
    self.loss_scale = replica_step.loss_scale
    self.guard = replica_step.guard
    self.averages = replica_step.optimizer.averages
    self.inputs = inputs
    self._steps_per_loop = steps_per_loop
    self.log_interval = log_interval or steps_per_loop
    self._ledger = ledger
    self.device_step = DeviceStep(replica_step, inputs, strategy, xla)
    self.window = self.device_step.window
    self.programs = Programs(self.device_step.program, ledger)
    self.work = Work()
    self.log_points: Sequence[LogPoint] = ()  # Called with step and scalars.
    self._boundary = boundary
    self._given: collections.deque[Given] = collections.deque()
    self._reached = 0  # The global step, as far as the host knows.
    self._ended = 0.0  # When the device had done the newest step read.
    model, averages = replica_step.model, self.averages
    self._finite = FiniteCheck(
      [
        *model.variables,
        *self.optimizer.variables,
        *(averages.values if averages else ()),
      ],
      strategy,
    )

  def train(self, num_steps: tf.Tensor) -> None:
    """Trains some steps from the global step on, wherever that is.

    All of them have run when it returns.

    Raises:
      StopRequested: where a worker was told to stop.
      UserError: where a batch cannot be made. In both cases, all steps given to
        the device have run.
      FloatingPointError: where a number is not finite.
    """
    self._reached = int(self.global_step.numpy())
    self._given.clear()
    end = self._reached + int(num_steps)
    with dispatching(ahead=True), self._ledger.time("step"):
      try:
        while self._reached < end:
          self._run(end)
      except (StopRequested, UserError):
        self._read_all()  # What the host has to say comes behind its step.
        raise

  def _run(self, end: int) -> None:
    """Runs steps up to `end`, or to one that is not counted."""
    step = look = self._reached
    while step < end:
      if step == look:
        with self._bucket("other"):
          self._boundary.check(self._reached)
        most = self._boundary.limit(self._steps_per_loop)
        look = min(end, step + max(1, most))
      self._give(step, closes=step + 1 == end or self._logs_at(step + 1))
      step += 1
      while len(self._given) > min(most, AHEAD):
        self._read()
      if self._boundary.told or self._reached + len(self._given) < step:
        break
    self._read_all()

  def _logs_at(self, step: int) -> bool:
    return step % self.log_interval == 0

  def _bucket(self, idle: str) -> contextlib.AbstractContextManager[None]:
    """Books what the host does: as a step while the device has one."""
    return self._ledger.time("step" if self._given else idle)

  def _give(self, step: int, *, closes: bool) -> None:
    """Gives the device a step, whether or not it has others."""
    with self._bucket("input_wait"):
      batch, arrays = self.inputs.fetch(step)
      self.inputs.tell_weightless(step)
    shape = batch.layout.shape
    timed = shape in self.programs
    if not timed:
      self._read_all()  # Their seconds are no compilation.
    follows, since = bool(self._given), time.monotonic()
    numbers = self.programs(
      shape,
      arrays,
      tf.constant(step, tf.int64),
      tf.constant(closes),
      tf.constant(self._boundary.signals),
    )
    self._given.append(
      Given(
        step,
        batch.layout,
        len(batch.indices),
        closes=closes,
        timed=timed,
        follows=follows,
        since=since,
        numbers=arrival(numbers),
      )
    )

  def _read_all(self) -> None:
    while self._given:
      self._read()

  def _read(self) -> None:
    """Reads the numbers of the oldest step that the device was given.

    Raises:
      FloatingPointError: where trying it again would go on for ever.
    """
    (value, signals), ended = self._given[0].numbers.result()
    numbers = Numbers(*value.tolist())
    self._boundary.hear(signals)
    given = self._given.popleft()
    # The device begins where it has done the one before, or where it is given.
    began = max(given.since, self._ended)
    if given.follows:
      idle = began - self._ended
      self._ledger.rebook(idle, "step", "input_wait")
    self._ended = ended
    if not numbers.ran:
      return
    if not numbers.counted and numbers.tried_scale <= 1.0:
      self._stop_at(given.step, scaled=numbers.tried_scale > 0.0)
    if given.timed:
      seconds = max(0.0, ended - began)
      self._boundary.measured(1, seconds)
      self.work.seconds += seconds
    if numbers.counted:
      self._reached = given.step + 1
      if given.timed:
        self.work.add(given.examples, given.layout)
      if given.closes:
        with self._bucket("other"):
          self._log(numbers)

  def _stop_at(self, step: int, *, scaled: bool) -> None:
    self.check_finite()  # A loss of such weights is not finite either.
    name = self.guard.name_of_culprit(
      self.replica_step.model.trainable_variables
    )
    at_any = " at any loss scale" if scaled else ""
    cure = "--precision=bfloat16" if scaled else "--on_nonfinite=skip"
    raise FloatingPointError(
      f"In step {step} {name} is not finite{at_any}: the run stops; the "
      "checkpoints are those before it. Try a lower --learning_rate, or "
      f"{cure}."
    )

  def check_finite(self) -> None:
    """Looks at what a checkpoint would hold, before one is saved.

    Raises:
      FloatingPointError: where a variable is not finite.
    """
    if name := self._finite.culprit():
      raise FloatingPointError(
        f"At step {int(self.global_step.numpy())} {name} is not finite, though "
        "losses and gradients were: the run stops before it reaches a "
        "checkpoint. See to the weights that it began with, or take a lower "
        "learning_rate or weight_decay, or a larger epsilon."
      )

  def _log(self, numbers: Numbers) -> None:
    """Gives the log points what there is to say since the last one.

    Raises:
      FloatingPointError: where a scalar or a variable is not finite.
    """
    scalars: dict[str, Any] = {
      "loss": numbers.loss / max(1.0, numbers.taken),
      "gradient_norm": numbers.norm,
      "learning_rate": numbers.learning_rate,
    }
    if self.loss_scale:
      scalars["loss_scale"] = numbers.scale
      scalars["skipped_steps"] = int(numbers.repeated)
    if self.guard.skips:
      scalars["skipped_batches"] = int(numbers.skipped)
    if not numbers.was_taken:
      self.check_finite()  # Such weights would skip all that follows.
    for name, value in scalars.items():
      if not np.isfinite(value):
        raise FloatingPointError(
          f"`{name}` is {value} at step {self._reached}: the run stops before "
          "it reaches a checkpoint. Try a lower --learning_rate."
        )
    for log_point in self.log_points:
      log_point(self._reached, scalars)
