"""How many threads an op has: in which order it adds depends on it."""

import dataclasses
import os

from engine.config import ExperimentConfig, RuntimeConfig
from engine.errors import UserError, quoted

# A worker's share of the cores, where several are on one machine: what starts
# them sets it. Where each had a thread for each core they would fight for them.
SHARE = "APSIS_WORKER_THREADS"
_TENSORFLOW = "TF_NUM_INTRAOP_THREADS"  # Which a user sets.


def fixed(config: ExperimentConfig, first: int) -> ExperimentConfig:
  """Fixes the threads of a run that must have the same bits.

  A reproducible one takes no share of the cores: its bits must not depend on
  how many workers there are.

  Args:
    config: of the run.
    first: threads of its first process; 0: this is it.

  Raises:
    UserError: where a variable is no number of threads.
  """
  runtime = config.runtime
  if not runtime.fixes_bits or runtime.threads:
    return config
  share = 0 if runtime.reproducible else _number(SHARE)
  cores = len(os.sched_getaffinity(0))
  threads = first or _number(_TENSORFLOW) or share or cores
  return dataclasses.replace(
    config, runtime=dataclasses.replace(runtime, threads=threads)
  )


def own(runtime: RuntimeConfig) -> int:
  """Threads of an op in this process; 0: as many as TensorFlow finds right.

  Raises:
    UserError: where a variable is no number of threads.
  """
  return runtime.threads or _number(_TENSORFLOW) or _number(SHARE)


def _number(variable: str) -> int:
  text = os.environ.get(variable) or "0"
  if not (text.isdecimal() and len(text) < 5):
    raise UserError(
      f"{variable} is {quoted(text)}: let it be a number of threads, or leave "
      "it out."
    )
  return int(text)
