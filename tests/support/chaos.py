"""Kills runs at random moments: each must become what it is undisturbed.

python -m tests.support.chaos --kills=200 --seed=0  # prints a table
python -m tests.support.chaos --kills=9 --seed=0 --fresh  # new interpreters
python -m tests.support.chaos --kills=200 --scenarios=moving  # other replicas

Each scenario is trained once undisturbed. Then it is trained again and again
under the supervisor, as launch.supervise and launch.cluster do it, while a
thread sends signals to its ranks; each run that has ended must be the whole
one, to the last bit. Ranks are forked from a process that has imported
TensorFlow already, unless `--fresh`.
"""

import argparse
import collections
import dataclasses
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

import yaml

from engine.durability import manifest
from engine.process.progress import read_progress
from engine.process.supervisor import Supervisor
from launch.jobs.output import Output
from launch.jobs.ranks import free_ports, train_command, worker_environ
from tests.support.doors import Door
from tests.support.testing import ROOT

# Number of ranks, and the flags of each.
TOPOLOGIES = {
  "one_device": (1, ("--strategy=one_device",)),
  "mirrored": (1, ("--strategy=mirrored", "--num_virtual_devices=2")),
  "mirrored_4": (1, ("--strategy=mirrored", "--num_virtual_devices=4")),
  "two_workers": (2, ("--strategy=multi_worker",)),
  "four_workers": (4, ("--strategy=multi_worker",)),
}
# What each life is one of; the undisturbed run is of the first.
MOVING = "moving"
SCENARIOS = {
  "one_device": ("one_device",),
  "mirrored": ("mirrored",),
  "two_workers": ("two_workers",),
  MOVING: tuple(TOPOLOGIES),
}
SETTINGS = (
  "--task=demo",
  "--encoder=tiny",
  "--deterministic",
  "--steps_per_loop=5",
  "--checkpoint_interval=10",
  "--log_example_ids",
)
# Its shapes are compiled anew in each life: one is enough for many kills.
QUICK = ("--batching=pad",)
SIGNALS = {signal.SIGKILL: 5, signal.SIGTERM: 3, signal.SIGSTOP: 2}  # Weights.
MOMENTS = ("start_up", "compile", "step", "evaluation", "saving", "any")
KILLS_IN_A_RUN = 10


@dataclasses.dataclass
class Kill:
  """A signal that was sent, and when the ranks trained again."""

  signal: str
  moment: str
  phase: str
  sent: float
  recovered: float | None = None


class Ranks:
  """Starts the ranks of a scenario, and knows which of them live."""

  def __init__(self, flags, scratch, fresh):
    self._number = 0
    self._flags = self._settings = flags
    self._scratch = scratch
    self._fresh = fresh
    self._output = Output(open(os.devnull, "w"))  # noqa: SIM115
    self._hosts = []
    self.progress = {}  # index -> path of the record
    self.pids = {}
    self.lives = self.moves = 0
    self._topology = ""

  def become(self, topology):
    """Says on what the next life trains; returns the names of its ranks."""
    self.moves += bool(self._topology) and topology != self._topology
    self._topology = topology
    self._number, flags = TOPOLOGIES[topology]
    self._flags = (*self._settings, *flags)
    return [f"rank {index}" for index in range(self._number)]

  def start(self, index, variables):
    """Starts one, as the supervisor asks."""
    if index == 0:
      self.lives += 1
      self.pids, self.progress = {}, {}
      ports = free_ports(self._number)
      self._hosts = [f"127.0.0.1:{port}" for port in ports]
    environ = dict(variables)
    if self._number > 1:
      wanted = worker_environ({}, self._hosts, index)
      environ.update(wanted)
    (self.progress[index],) = variables.values()
    if self._fresh:
      process = self._output.start(
        index, train_command(self._flags), {**os.environ, **environ}
      )
    else:
      own = self._scratch / f"{self.lives}_{index}"
      own.mkdir(parents=True)
      process = Forked(Door(own, "launch.train", *self._flags, environ=environ))
    self.pids[index] = process.pid
    return process

  def last_line(self, index):
    """Returns the last words of a rank that has ended."""
    if self._fresh:
      return self._output.last_line(index)
    path = self._scratch / f"{self.lives}_{index}" / "door.err"
    if not path.exists():
      return ""  # It was killed before it had opened one.
    return (path.read_text(errors="replace").strip().splitlines() or [""])[-1]

  def phase(self, index):
    """Returns what a rank does now."""
    record = read_progress(self.progress[index]) if self.progress else None
    return (record or {}).get("phase", "start_up")

  def step(self):
    """Returns the furthest step of the ranks of this life."""
    records = [read_progress(path) for path in self.progress.values()]
    return max([(record or {}).get("step", 0) for record in records] or [0])


class Forked:
  """A door as the supervisor wants a process."""

  def __init__(self, door):
    self._process = door.process
    self.pid = door.process.pid

  def poll(self):
    return self._process.exitcode

  def send_signal(self, number):
    if self._process.is_alive():
      os.kill(self.pid, number)


class Killer(threading.Thread):
  """Sends signals to ranks at random moments until it is told to stop."""

  def __init__(self, ranks, directory, kills, generator):
    super().__init__(daemon=True)
    self._ranks = ranks
    self._directory = directory
    self._left = kills
    self._random = generator
    self.done = threading.Event()
    self.kills = []

  def run(self):
    while self._left and not self.done.is_set():
      self._kill_once()

  def _kill_once(self):
    random_, ranks = self._random, self._ranks
    moment = random_.choice(MOMENTS)
    # Each life begins with these two; behind them most get somewhere.
    if moment not in ("start_up", "compile") and random_.random() < 0.8:
      self._wait(lambda: ranks.phase(0) == "step", 60.0)
      self.done.wait(random_.uniform(0.0, 1.5))
    index = random_.randrange(len(ranks.pids) or 1)
    if moment == "saving":
      self._wait(self._is_saving, 5.0)
    elif moment != "any":
      self._wait(lambda: ranks.phase(index) == moment, 5.0)
      self.done.wait(random_.uniform(0.0, 0.3))
    number = random_.choices(list(SIGNALS), list(SIGNALS.values()))[0]
    if self.done.is_set() or index not in ranks.pids:
      return
    lives, phase = ranks.lives, ranks.phase(index)
    try:
      os.kill(ranks.pids[index], number)
    except ProcessLookupError:
      return
    self._left -= 1
    kill = Kill(signal.Signals(number).name, moment, phase, time.monotonic())
    self.kills.append(kill)
    self._wait(lambda: ranks.lives > lives, 120.0)
    reached = ranks.step()
    if self._wait(
      lambda: ranks.phase(0) == "step" and ranks.step() > reached, 120.0
    ):
      kill.recovered = time.monotonic()

  def _is_saving(self):
    """Whether a checkpoint is written and not committed."""
    checkpoints = os.path.join(self._directory, "checkpoints")
    try:
      names = set(os.listdir(checkpoints))
    except OSError:
      return False
    return any(
      "_temp" in name
      or (name.endswith(".index") and name[:-6] + ".manifest.json" not in names)
      for name in names
    )

  def _wait(self, condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not self.done.is_set():
      if condition():
        return True
      self.done.wait(0.002)
    return False


def train(name, directory, scratch, steps, *, fresh, kills=0, generator=None):
  """Trains a scenario; returns the kills, its ranks and its seconds."""
  topologies = SCENARIOS[name]
  moves = len(topologies) > 1
  flags = (*SETTINGS, *QUICK, f"--train_steps={steps}")
  if moves:
    flags += ("--reproducible",)
  ranks = Ranks((*flags, f"--model_dir={directory}"), scratch, fresh)
  killer = Killer(ranks, directory, kills, generator)
  begun = time.monotonic()
  if kills:
    killer.start()
  status, failed, topology = os.EX_TEMPFAIL, 0, topologies[0]
  while status:
    status = Supervisor(
      start=ranks.start,
      names=ranks.become(topology),
      max_restarts=0 if moves and kills else 50,
      stall_timeout=5.0,
      grace=3.0,
      last_line=ranks.last_line,
    ).run()
    failed += bool(status)
    assert failed <= moves * len(killer.kills), (
      f"{name} ended with status {status}: {ranks.last_line(0)}"
    )
    if moves and status:
      topology = generator.choice([x for x in topologies if x != topology])
  seconds = time.monotonic() - begun
  killer.done.set()
  if kills:
    killer.join()
  return killer.kills, ranks, seconds


def facts_of(directory):
  """All that must be equal, and that each file of the run can be read."""
  for parent, _, names in os.walk(directory):
    for name in names:
      path = os.path.join(parent, name)
      assert not name.endswith(".part") and "temp" not in name, path
      with open(path, "rb") as file:
        content = file.read()
      if name.endswith(".json"):
        json.loads(content)
      elif name.endswith(".jsonl"):
        assert content.endswith(b"\n")
        _ = [json.loads(line) for line in content.splitlines()]
      elif name.endswith(".yaml"):
        yaml.safe_load(content)
  for folder in ("checkpoints", "best"):
    found = manifest.prefixes(os.path.join(directory, folder))
    assert found, folder
    for prefix in found:
      manifest.verify(prefix)

  def rows(name):
    with open(os.path.join(directory, name)) as file:
      return [json.loads(line) for line in file]

  with open(os.path.join(directory, "result.json")) as file:
    result = json.load(file)
  timed = ("ledger", "work", "examples_per_second", "steps_per_second")
  return {
    "weights": result["weights_sha256"],
    "evaluation": result["eval"],
    "best": [os.path.basename(x) for x in found],
    "ids": rows("example_ids.jsonl"),
    "points": [
      {k: v for k, v in row.items() if k not in timed}
      for row in rows("metrics.jsonl")
    ],
  }


def apart(one, other):
  """Says where two facts differ."""
  if isinstance(one, list) and isinstance(other, list):
    pairs = enumerate(zip(one, other, strict=False))
    lines = next((f"{i}: {apart(a, b)}" for i, (a, b) in pairs if a != b), "-")
    return f"{len(one)} / {len(other)} lines, first differing {lines}"
  if isinstance(one, dict) and isinstance(other, dict):
    names = sorted({*one, *other})
    both = {x: (one.get(x), other.get(x)) for x in names}
    one, other = (
      {x: pair[i] for x, pair in both.items() if pair[0] != pair[1]}
      for i in range(2)
    )
  return f"{json.dumps(one)[:300]} / {json.dumps(other)[:300]}"


def campaign(names, kills, seed, *, steps, fresh, scratch):
  """Runs all scenarios; returns a row for each, and fails at a difference."""
  generator = random.Random(seed)
  rows, totals = [], collections.Counter()
  for place, name in enumerate(names):
    share = kills // len(names) + (place < kills % len(names))
    whole = scratch / name / "whole"
    own = scratch / name / "w"
    _, _, alone = train(name, str(whole), own, steps, fresh=fresh)
    expected = facts_of(whole)
    found, runs, moves, seconds = [], 0, 0, 0.0
    while len(found) < share:
      runs += 1
      cut = scratch / name / f"cut_{runs}"
      killed, ranks, took = train(
        name,
        str(cut),
        scratch / name / f"c{runs}",
        steps,
        fresh=fresh,
        kills=min(KILLS_IN_A_RUN, share - len(found)),
        generator=generator,
      )
      facts = facts_of(cut)
      for key, value in expected.items():
        told = f"{cut}: {key}: {apart(value, facts[key])}"
        assert facts[key] == value, told
      found += killed
      moves += ranks.moves
      seconds += took
      print(
        f"{name}: run {runs}, {len(killed)} kills, {ranks.lives} lives, "
        f"{ranks.moves} moves, {took:.0f} s: equal",
        flush=True,
      )
      shutil.rmtree(cut)
      totals.update((kill.signal, kill.phase) for kill in killed)
      back = {
        kind: sorted(
          kill.recovered - kill.sent
          for kill in found
          if kill.recovered
          and (kill.signal == "SIGSTOP") == (kind == "stopped")
        )
        for kind in ("killed", "stopped")
      }
      row = {
        "scenario": name,
        "kills": len(found),
        "moves": moves,
        "runs": runs,
        "lost": (seconds - runs * alone) / max(1, len(found)),
        **back,
      }
      print(table([row], totals), flush=True)  # A campaign may be cut short.
    rows.append(row)
  return rows, totals


def table(rows, totals):
  """Returns the campaign as Markdown."""

  def middle_and_most(values):
    if not values:
      return "-"
    return f"{values[len(values) // 2]:.1f} / {values[-1]:.1f}"

  lines = [
    "| scenario | kills | moves | runs | equal to the whole one "
    "| seconds lost a kill | killed: to the next step, median / most "
    "| frozen: the same |",
    "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |",
  ]
  lines += [
    f"| {row['scenario']} | {row['kills']} | {row['moves']} | {row['runs']} "
    f"| all | {row['lost']:.1f} | {middle_and_most(row['killed'])} s | "
    f"{middle_and_most(row['stopped'])} s |"
    for row in rows
  ]
  phases = sorted({phase for _, phase in totals})
  names = sorted({name for name, _ in totals})
  lines += ["", "| phase of the rank | " + " | ".join(names) + " |"]
  lines += ["| --- |" + " ---: |" * len(names)]
  lines += [
    f"| {phase} | " + " | ".join(str(totals[x, phase]) for x in names) + " |"
    for phase in phases
  ]
  return "\n".join(lines)


def main(arguments=None):
  """Runs a campaign and prints its table."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--kills", type=int, default=12)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--scenarios", default=",".join(SCENARIOS))
  parser.add_argument("--steps", type=int, default=185, help="of a run")
  parser.add_argument(
    "--fresh", action="store_true", help="start each rank as python -m"
  )
  values = parser.parse_args(arguments)
  os.chdir(ROOT)
  with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
    from pathlib import Path

    rows, totals = campaign(
      values.scenarios.split(","),
      values.kills,
      values.seed,
      steps=values.steps,
      fresh=values.fresh,
      scratch=Path(scratch),
    )
  print(table(rows, totals))


if __name__ == "__main__":
  sys.exit(main())
