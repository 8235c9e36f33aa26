"""Processes that take turns on the devices of this machine."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from engine.config import RuntimeConfig
from engine.process.signals import collected, name_of

_TICK = 0.05  # Seconds between two looks at the processes.


def find_devices(runtime: RuntimeConfig) -> list[str]:
  """Returns what CUDA_VISIBLE_DEVICES holds for each run that runs at once.

  Several GPUs take a run each, where a run asks for no more than one; else the
  runs take turns, and the variable stays what it is ("").
  """
  import tensorflow as tf

  if runtime.strategy not in ("auto", "one_device") or runtime.tpu:
    return [""]
  if runtime.num_virtual_devices:
    return [""]
  found = len(tf.config.list_physical_devices("GPU"))
  named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
  names = [x.strip() for x in named if x.strip()] or map(str, range(found))
  return [*names][:found] if found > 1 else [""]


def run_all(
  seeds: Sequence[int],
  *,
  start: Callable[[int, Mapping[str, str]], subprocess.Popen],
  devices: Sequence[str],
  stop_file: str,
) -> tuple[dict[int, int], str]:
  """Runs a process for each seed, as many at once as there are devices.

  One that was told to stop (75) or whose user is mistaken (2) ends the others
  too: they save. One that fails or is killed ends for itself.

  Args:
    seeds: in the order of their turns.
    start: starts the process of a seed, with these additional variables.
    devices: values of CUDA_VISIBLE_DEVICES.
    stop_file: a file whose appearance stops all; it is removed.

  Returns:
    Seed -> exit status (128 + n for signal n) of those that were begun; and
    what told us to stop, or "".
  """
  waiting, free = list(seeds), list(devices)
  running: dict[int, tuple[subprocess.Popen, str]] = {}
  ended: dict[int, int] = {}
  handed_on, told = 0, ""
  with collected() as signals:
    while True:
      if os.path.exists(stop_file) and not told:
        os.unlink(stop_file)
        told = f"the file {stop_file}"
        _send(running, signal.SIGTERM)
      for number in signals[handed_on:]:
        told = told or name_of(number)
        _send(running, number)
        handed_on += 1
      for seed, (process, device) in [*running.items()]:
        status = process.poll()
        if status is not None:
          del running[seed]
          free.insert(0, device)
          ended[seed] = 128 - status if status < 0 else status
          if status in (2, os.EX_TEMPFAIL):
            waiting.clear()
            _send(running, signal.SIGTERM)
      if told:
        waiting.clear()
      while waiting and free:
        seed, device = waiting.pop(0), free.pop(0)
        chosen = {"CUDA_VISIBLE_DEVICES": device} if device else {}
        running[seed] = start(seed, chosen), device
      if not running:
        return ended, told
      time.sleep(_TICK)


def _send(running: Mapping[int, tuple[subprocess.Popen, str]], number: int):
  for process, _ in running.values():
    with contextlib.suppress(ProcessLookupError):
      process.send_signal(number)


def status_of(statuses: Collection[int], *, told: bool) -> int:
  """Returns the status of all together: 2, then 75, then one that failed."""
  failed = {status for status in statuses if status}
  if 2 in failed:
    return 2
  if told or os.EX_TEMPFAIL in failed:
    return os.EX_TEMPFAIL
  return max(failed, default=0)
