"""Trains one run for each of several seeds, by the door that trains one.

Each has a directory and a process of its own. What has finished is not run
again, and what was cut off goes on, as for any run.
"""

import contextlib
import dataclasses
import os
import re
import shlex
import sys
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from absl import flags

from engine.cluster.discovery import find_cluster
from engine.config import ExperimentConfig
from engine.errors import UserError, one_line, quoted
from launch.command import configs
from launch.command.door import words_of
from launch.command.imports import slow_imports
from launch.jobs.output import Output
from launch.jobs.turns import find_devices, run_all, status_of
from launch.pages import seed_report

if typing.TYPE_CHECKING:
  from engine.durability.run_directory import RunDirectory

# Not handed on.
_OURS = ("seeds", "seed", "model_dir", "flagfile", "train_fraction")
_MOST = 10_000  # Seeds.


def train_each(
  text: str,
  config: ExperimentConfig,
  model_dir: str,
  own: Sequence[str] = (),
) -> int:
  """Trains with each seed, and reports how they compare.

  Args:
    text: the seeds, as `parse_seeds` reads them.
    config: of the runs, but for the seed.
    model_dir: has `seed_N` of each, and `seeds.json`.
    own: more flags of the runs.

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
  with slow_imports():
    from engine.durability.run_directory import RunDirectory

  if RunDirectory(model_dir).read_config():
    raise UserError(
      f"`model_dir` {model_dir} holds one run: give the runs of --seeds "
      "another."
    )
  runs = {s: RunDirectory(os.path.join(model_dir, f"seed_{s}")) for s in seeds}
  waiting = [seed for seed in seeds if _is_to_run(each[seed], runs[seed])]
  command = [sys.executable, "-m", "launch.train", *given_flags()]
  with contextlib.ExitStack() as stack:
    stream = sys.stdout
    if config.runtime.quiet:
      stream = stack.enter_context(open(os.devnull, "w"))
    output = Output(stream, prefix=lambda seed: f"[seed {seed}] ")

    def start(seed, variables):
      more = [*own, f"--seed={seed}", f"--model_dir={runs[seed].path}"]
      return output.start(seed, [*command, *more], {**os.environ, **variables})

    ended, told = run_all(
      waiting,
      start=start,
      devices=find_devices(config.runtime),
      stop_file=os.path.join(model_dir, "stop"),
    )
    output.drain()
  notes = {seed: "not begun" for seed in waiting if seed not in ended}
  for seed, status in ended.items():
    if status:
      words = one_line(output.last_line(seed))
      notes[seed] = f"ended with status {status}: {words}"
      print(f"seed {seed} {notes[seed]}", file=sys.stderr, flush=True)
  results = {s: run.result() for s, run in runs.items() if s not in notes}
  if results:
    _report(results, notes, model_dir)
  if told:
    print(f"{told}: the same command goes on.", file=sys.stderr, flush=True)
  return status_of(ended.values(), told=bool(told))


def _is_to_run(config: ExperimentConfig, run: "RunDirectory") -> bool:
  """Whether a run has not finished, or was allowed to change."""
  changed = run.check(config, flags.FLAGS.allow_config_change)
  if changed or not (run.result() or {}).get("eval"):
    return True
  if not config.runtime.quiet:
    seed = config.train.seed
    print(f"seed {seed}: finished before: {run.path}", flush=True)
  return False


def _report(
  results: Mapping[int, Any], notes: Mapping[int, str], model_dir: str
) -> None:
  """Writes and prints how the runs compare, as `summarize` is given them."""
  from engine.files import DISK_ERRORS

  try:
    command = shlex.join([*words_of("train"), *sys.argv[1:]])
    report = seed_report.summarize(results, notes, command)
    seed_report.write(report, model_dir)
    print("\n".join(seed_report.table(report)), flush=True)
  except DISK_ERRORS as error:
    raise UserError(f"`model_dir` {model_dir}: {error}: make room.") from error


def parse_seeds(text: str) -> list[int]:
  """Reads `0-9`, `0,3,5` or `0-2,7`.

  Raises:
    UserError: where it is none of these.
  """
  seeds: list[int] = []
  for part in text.replace(" ", "").split(","):
    ends = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", part)
    first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
    if first > last:
      raise UserError(
        f"`seeds` is {quoted(text)}, but must be like 0-9 or 0,3,5."
      )
    if len(seeds) + last - first >= _MOST:
      raise UserError(
        f"`seeds` is {quoted(text)}, but must name at most {_MOST:,}: give the "
        "rest a --model_dir of their own."
      )
    seeds += range(first, last + 1)
  if len(set(seeds)) < len(seeds):
    raise UserError(
      f"`seeds` is {quoted(text)}, which names a seed twice: name each once."
    )
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


def given_flags(but: Collection[str] = _OURS) -> list[str]:
  """Returns the flags of the command line, but for those of the door itself."""
  given: list[str] = []
  for name in flags.FLAGS:
    flag = flags.FLAGS[name]
    if flag.present and name not in but:
      text, several = flag.serialize(), flag.flag_type().startswith("multi")
      given += text.split("\n") if several else [text]
  return given
