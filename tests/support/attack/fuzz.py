"""Gives each reader what nobody should have written.

python -m tests.support.attack.fuzz --examples=20000 --seed=1

Each reading must end: with a value, or with the error that becomes one line at
a door. What has a seal must be as it was, or be refused. Hypothesis makes the
contents; nothing leaves this machine, and nothing but loopback is spoken to.
"""

import collections
import contextlib
import io
import os
import pathlib
import time
import traceback
from unittest import mock

import hypothesis
from hypothesis import given, settings

from engine.errors import UserError
from launch.command import door
from tests.support.attack import campaigns, judge
from tests.support.attack.mutations import contents
from tests.support.attack.reader import Reader
from tests.support.attack.readers import all_readers
from tests.support.attack.short_run import scratch_of, train
from tests.support.testing import ROOT

# A reading takes milliseconds; one that takes this long has no bounds.
SLOW = 5.0  # Seconds.


def line_of(error: UserError) -> str:
  """What a door prints of an error, the name of the door left out."""
  said = io.StringIO()
  with (
    contextlib.redirect_stderr(said),
    mock.patch.object(os, "_exit", side_effect=SystemExit),
    contextlib.suppress(SystemExit),
  ):
    door.fail(str(error))
  return said.getvalue()


def wrong_with(name: str, reader: Reader, good, content: bytes):
  """Reads a content; returns (fault, detail), or None."""
  begun = time.monotonic()
  try:
    found = reader.read(content)
    if reader.sealed and found != good:
      return "altered, and taken", repr(found)[:200]
  except UserError as error:
    line = line_of(error)
    if line.count("\n") != 1 or _controls(line):
      return "more than a line", line[:200]
    if len(line.rstrip()) > judge.LONGEST_LINE:
      return "a long line", f"{len(line)} characters: {line[:120]}"
  except reader.raises:
    pass
  except Exception as error:
    return f"traceback: {type(error).__name__}", f"{_place(error)}: {error}"
  if time.monotonic() - begun > SLOW:
    return "slow", f"{time.monotonic() - begun:.1f} s"
  return None


def _controls(line):
  return any(x < " " or x == "\x7f" for x in line.removesuffix("\n"))


def _place(error):
  """The last line of our own code on the way to an error."""
  frames = traceback.extract_tb(error.__traceback__)
  ours = [x for x in frames if f"{ROOT}/tests" not in x.filename]
  ours = [x for x in ours if x.filename.startswith(ROOT + "/")] or frames
  ours = [x for x in ours if "/.venv/" not in x.filename] or frames
  last = ours[-1]
  return f"{os.path.relpath(last.filename, ROOT)}:{last.lineno}"


def fuzz(name: str, reader: Reader, examples: int, seed: int):
  """Lets a reader read; returns what it did wrong, each kind of it once."""
  good = reader.read(reader.content) if reader.sealed else None
  shortest: dict[tuple[str, str], tuple[bytes, str]] = {}
  counts = collections.Counter()

  @hypothesis.seed(seed)
  @settings(
    max_examples=examples,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  @given(contents(reader.content))
  def read(content):
    counts["read"] += 1
    if wrong := wrong_with(name, reader, good, content):
      fault, detail = wrong
      counts["wrong"] += 1
      key = fault, detail.split(" ")[0]
      if key not in shortest or len(content) < len(shortest[key][0]):
        shortest[key] = content, detail

  read()
  return counts, [
    judge.Finding("fuzz", name, repr(content[:150]), "", fault, detail[:300])
    for (fault, _), (content, detail) in shortest.items()
  ]


def campaign(
  root: pathlib.Path,
  *,
  examples: int,
  seed: int,
  only: str,
  budget: campaigns.Budget,
):
  """Fuzzes all readers alike; returns rows and findings."""
  run = scratch_of(root, "whole")
  ended = train(run, run / "run")
  assert ended.status == 0, ended.err
  every = all_readers(run / "run", scratch_of(root, "scratch"))
  every = {name: x for name, x in every.items() if only in name}
  rows, findings = [], []
  for name, reader in every.items():
    if budget.over:
      break
    with contextlib.redirect_stderr(io.StringIO()):
      reader.read(reader.content)  # As it is it must be right.
      counts, found = fuzz(name, reader, -(-examples // len(every)), seed)
    findings += found
    rows.append((name, counts["read"], counts["wrong"], len(found)))
  head = ("what is read", "contents", "wrong", "kinds of it")
  return [head, *rows, campaigns.total(rows)], findings


if __name__ == "__main__":
  campaigns.main(
    __doc__,
    campaign,
    faulty=False,
    examples=(20_000, "contents, over all readers"),
    only=("", "a part of a reader's name"),
  )
