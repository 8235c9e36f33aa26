"""Trains one run for each of several seeds, by the door that trains one.

Each has a directory and a process of its own. What has finished is not run
again, and what was cut off goes on, as for any run.
"""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from absl import flags

from engine.cluster.discovery import find_cluster
from engine.config import ExperimentConfig
from engine.errors import UserError
from engine.process.signals import collected, name_of
from launch.command import configs
from launch.jobs.output import Output
from launch.pages import seed_report

_TICK = 0.05  # Seconds between two looks at the processes.
_OURS = ("seeds", "seed", "model_dir", "flagfile")  # Not handed on.


def train_each(text: str, config: ExperimentConfig, model_dir: str) -> int:
  """Trains with each seed, and reports how they compare.

  Args:
    text: the seeds, as `parse_seeds` reads them.
    config: of the runs, but for the seed.
    model_dir: has `seed_N` of each, and `seeds.json`.

  Returns:
    0; or the status of the door: 75 where it was told to stop.

  Raises:
    UserError: where that cannot be done as asked.
  """
  seeds = parse_seeds(text)
  _check(config)
  each = {
    seed: dataclasses.replace(
      config, train=dataclasses.replace(config.train, seed=seed)
    )
    for seed in seeds
  }
  # Imported behind the checks: TensorFlow takes seconds.
  from engine.durability.run_directory import RunDirectory
  from engine.files import DISK_ERRORS

  if RunDirectory(model_dir).read_config():
    raise UserError(
      f"`model_dir` {model_dir} holds one run: give the runs of --seeds "
      "another."
    )
  runs = {s: RunDirectory(os.path.join(model_dir, f"seed_{s}")) for s in seeds}
  allowed = flags.FLAGS.allow_config_change
  waiting = []
  for seed, run in runs.items():
    changed = run.check(each[seed], allowed)
    if changed or not (run.result() or {}).get("eval"):
      waiting.append(seed)
    elif not config.runtime.quiet:
      print(f"seed {seed}: finished before: {run.path}", flush=True)
  command = [sys.executable, "-m", "launch.train", *given_flags()]
  with contextlib.ExitStack() as stack:
    stream = sys.stdout
    if config.runtime.quiet:
      stream = stack.enter_context(open(os.devnull, "w"))
    output = Output(stream, prefix=lambda seed: f"[seed {seed}] ")

    def start(seed, variables):
      own = [f"--seed={seed}", f"--model_dir={runs[seed].path}"]
      return output.start(seed, [*command, *own], {**os.environ, **variables})

    ended, told = run_all(
      waiting,
      start=start,
      devices=find_devices(config),
      stop_file=os.path.join(model_dir, "stop"),
    )
    output.drain()
  notes = {seed: "not begun" for seed in waiting if seed not in ended}
  for seed, status in ended.items():
    if status:
      notes[seed] = f"ended with status {status}: {output.last_line(seed)}"
      print(f"seed {seed} {notes[seed]}", file=sys.stderr, flush=True)
  results = {s: run.result() for s, run in runs.items() if s not in notes}
  try:
    if results:
      report = seed_report.summarize(results, notes)
      seed_report.write(report, model_dir)
      print("\n".join(seed_report.table(report)), flush=True)
  except DISK_ERRORS as error:
    raise UserError(f"`model_dir` {model_dir}: {error}: make room.") from error
  if told:
    print(f"{told}: the same command goes on.", file=sys.stderr, flush=True)
  return status_of(ended.values(), told=bool(told))


def parse_seeds(text: str) -> list[int]:
  """Reads `0-9`, `0,3,5` or `0-2,7`.

  Raises:
    UserError: where it is none of these.
  """
  seeds = []
  for part in text.replace(" ", "").split(","):
    ends = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
    first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
    if first > last:
      raise UserError(f"`seeds` is {text!r}, but must be like 0-9 or 0,3,5.")
    seeds += range(first, last + 1)
  if len(set(seeds)) < len(seeds):
    raise UserError(f"`seeds` is {text!r}, which names a seed twice.")
  return seeds


def _check(config: ExperimentConfig) -> None:
  """Refuses what does not go together with several seeds."""
  values = flags.FLAGS
  override = configs.parse_overrides(values.params_override).get("train")
  if values.seed is not None or "seed" in (override or {}):
    raise UserError("`seeds` and `seed` are both given: leave one of them out.")
  if values.mode != "train_and_eval":
    raise UserError(
      f"`mode` is {values.mode!r}, but --seeds compares evaluations: leave "
      "--mode out, or name one MODEL_DIR/seed_N and no --seeds."
    )
  cluster = find_cluster(config.runtime, os.environ)
  if cluster and cluster.size > 1:
    raise UserError(
      f"`seeds` is {values.seeds!r}, but {cluster.found_in} has "
      f"{cluster.size} workers: give each run of a cluster its --seed."
    )


def given_flags() -> list[str]:
  """Returns the flags of the command line, but for those of the seeds."""
  given = []
  for name in flags.FLAGS:
    flag = flags.FLAGS[name]
    if flag.present and name not in _OURS:
      text, several = flag.serialize(), flag.flag_type().startswith("multi")
      given += text.split("\n") if several else [text]
  return given


def find_devices(config: ExperimentConfig) -> list[str]:
  """Returns what CUDA_VISIBLE_DEVICES holds for each run that runs at once.

  Several GPUs take a run each, where a run asks for no more than one; else the
  runs take turns, and the variable stays what it is ("").
  """
  import tensorflow as tf

  runtime = config.runtime
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


def status_of(statuses: Sequence[int], *, told: bool) -> int:
  """The status of all runs together: 2, then 75, then of one that failed."""
  failed = {status for status in statuses if status}
  if 2 in failed:
    return 2
  if told or os.EX_TEMPFAIL in failed:
    return os.EX_TEMPFAIL
  return max(failed, default=0)
