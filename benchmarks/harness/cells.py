"""One cell of a matrix: how a fresh process runs it, and what it measures."""

import dataclasses
import glob
import itertools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from absl import flags

from benchmarks.harness.runs import read_run
from engine.errors import UserError

STEPS_PER_WINDOW = 2
WARM_UP = 2  # Windows of a process that are left out.
STRATEGIES = "one_device, gpu, mirrored, mirrored:N, multi_worker:N and tpu"


class CellFailed(Exception):
  """The process of a cell ended, and not for a mistake of the user."""


@dataclasses.dataclass(frozen=True)
class Strategy:
  """What `--strategy` of a benchmark says.

  Attributes:
    text: as it was given.
    kind: one_device, gpu (one, and it must be there), mirrored, multi_worker
      or tpu.
    number: of replicas or workers; 0: all.
  """

  text: str
  kind: str
  number: int

  @classmethod
  def parse(cls, text: str) -> "Strategy":
    """Reads KIND or KIND:NUMBER.

    Raises:
      UserError: where it is neither.
    """
    found = re.fullmatch(
      r"(one_device|gpu|tpu|mirrored)|(mirrored|multi_worker):([1-9]\d*)", text
    )
    if not found:
      raise UserError(f"`strategy` has {text!r}, but takes {STRATEGIES}.")
    return cls(text, found[1] or found[2], int(found[3] or 0))


@dataclasses.dataclass(frozen=True)
class Cell:
  """What one process trains with."""

  encoder: str
  strategy: Strategy
  precision: str
  batching: str

  @property
  def label(self) -> str:
    """Its name among those of the same encoder."""
    return f"{self.strategy.text} {self.precision} {self.batching}"


@dataclasses.dataclass(frozen=True)
class Measured:
  """What one process of a cell gave.

  Attributes:
    result: its `result.json`.
    windows: (steps/s, examples/s, real tokens/s) of each window, all replicas
      together, from the step bucket alone.
  """

  result: dict[str, Any]
  windows: list[tuple[float, float, float]]


def check_accelerators(strategies: Sequence[Strategy]) -> None:
  """Refuses what this machine has no devices for.

  Raises:
    UserError: naming the first strategy that cannot run here.
  """
  for strategy in strategies:
    kind, number = strategy.kind, strategy.number
    wanted = f"`strategy` has {strategy.text}, but"
    if kind == "tpu" and not glob.glob("/dev/accel*") + glob.glob(
      "/dev/vfio/[0-9]*"
    ):
      raise UserError(f"{wanted} this machine has no TPU: leave it out.")
    if kind in ("one_device", "tpu"):
      continue
    gpus = _gpus()
    if kind == "gpu" and not gpus:
      raise UserError(f"{wanted} this machine has no GPU: leave it out.")
    if kind == "mirrored" and not number and gpus < 2:
      raise UserError(
        f"{wanted} this machine has {gpus} GPU(s): mirrored:2 splits the CPU."
      )
    if kind == "mirrored" and gpus and number > gpus:
      raise UserError(
        f"{wanted} this machine has {gpus} GPU(s): ask for {gpus} or fewer."
      )
    if kind == "multi_worker" and gpus:
      raise UserError(
        f"{wanted} all workers would take the GPUs of this machine: use "
        "mirrored, or hide them by CUDA_VISIBLE_DEVICES=-1."
      )


def given_settings(names: Sequence[str]) -> list[str]:
  """Returns the settings that the command line gives, to pass them on."""
  values = flags.FLAGS
  given = [f"--config_file={path}" for path in values.config_file]
  return given + [
    f"--{name}={values[name].value}"
    for name in (*names, "params_override")
    if values[name].value not in (None, "")
  ]


def measure(
  cell: Cell, settings: Sequence[str], *, train_steps: int
) -> Measured:
  """Trains a cell in a process of its own.

  Args:
    cell: what to train with.
    settings: more flags of `launch.train`.
    train_steps: how many steps.

  Raises:
    UserError: where `launch.train` refuses it.
    CellFailed: where the process ends in another way.
  """
  kind, number = cell.strategy.kind, cell.strategy.number
  environ = dict(os.environ)
  command = [sys.executable, "-m", "launch.train"]
  if kind == "multi_worker":
    command[2:] = ["launch.cluster", f"--num_workers={number}", "--"]
  command += ["--mode=train", "--quiet", *settings]
  command += [f"--strategy={'one_device' if kind == 'gpu' else kind}"]
  if kind == "mirrored" and number:
    gpus = _gpus()
    if gpus:
      visible = environ.get("CUDA_VISIBLE_DEVICES")
      names = visible.split(",") if visible else map(str, range(gpus))
      environ["CUDA_VISIBLE_DEVICES"] = ",".join(list(names)[:number])
    else:
      command += [f"--num_virtual_devices={number}"]
  command += [f"--encoder={cell.encoder}", f"--batching={cell.batching}"]
  command += [f"--precision={cell.precision}", f"--train_steps={train_steps}"]
  # Few steps would have fewer shapes, and more padding, than a whole run.
  command += [f"--steps_per_loop={STEPS_PER_WINDOW}", "--shapes=fixed"]
  with tempfile.TemporaryDirectory() as model_dir:
    command += [f"--model_dir={model_dir}"]
    run = subprocess.run(command, env=environ, capture_output=True, text=True)
    if run.returncode:
      lines = (run.stdout + run.stderr).strip().splitlines() or ["no word"]
      if run.returncode == 2:
        raise UserError(f"{cell.encoder} {cell.label}: {lines[-1]}")
      raise CellFailed(f"exit status {run.returncode}: {lines[-1]}")
    result, lines = read_run(model_dir)
  return Measured(result, windows_of([line["work"] for line in lines]))


def windows_of(
  points: Sequence[dict[str, float]], warm_up: int = WARM_UP
) -> list[tuple[float, float, float]]:
  """Rates between log points behind the warm-up.

  Args:
    points: at each log point what the timed steps worked on so far. Steps that
      compile are not timed; a window of such steps alone has no rate.
    warm_up: windows to leave out.
  """
  windows = []
  nothing = dict.fromkeys(points[0], 0)
  for before, after in itertools.pairwise([nothing, *points][warm_up:]):
    seconds = after["seconds"] - before["seconds"]
    if after["steps"] > before["steps"]:
      windows.append(
        tuple(
          (after[name] - before[name]) / seconds
          for name in ("steps", "examples", "units")
        )
      )
  return windows


def _gpus() -> int:
  """How many GPUs TensorFlow sees."""
  # Imported here: TensorFlow takes seconds.
  import tensorflow as tf

  return len(tf.config.list_physical_devices("GPU"))
