"""How a campaign is started, and how it says what it found."""

import argparse
import contextlib
import math
import os
import pathlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tests.support.attack import faulty_files, judge
from tests.support.attack.watched import AT_ONCE
from tests.support.testing import ROOT

_Item, _Result = TypeVar("_Item"), TypeVar("_Result")
# Rows of its table, the first of which is its head; and what it found.
Outcome = tuple[Sequence[Sequence[Any]], Collection[judge.Finding]]


def main(
  doc: str,
  campaign: Callable[..., Outcome],
  *,
  faulty: bool = True,
  **options: tuple[int | str, str],
) -> None:
  """Runs a campaign in a scratch directory; status 1: it found something.

  SIGTERM ends it as the end of its minutes does: with what it has seen so far.

  Args:
    doc: the docstring of its module.
    campaign: takes the scratch directory, `seed`, `budget` and the options.
    faulty: whether its doors are watched by the library of `faulty_files`.
    options: name of a flag -> its default, and its help.
  """
  parser = argparse.ArgumentParser(description=doc.splitlines()[0])
  for name, (default, text) in options.items():
    parser.add_argument(
      f"--{name}", type=type(default), default=default, help=text
    )
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--findings", default=os.devnull, help="JSON lines")
  parser.add_argument(
    "--minutes", type=float, default=math.inf, help="begins nothing behind them"
  )
  values = vars(parser.parse_args())
  values["budget"] = budget = Budget(values.pop("minutes"))
  signal.signal(signal.SIGTERM, lambda *_: budget.end())
  path = values.pop("findings")
  os.chdir(ROOT)
  with (
    tempfile.TemporaryDirectory(prefix="campaign-") as root,
    faulty_files.loaded() if faulty else contextlib.nullcontext(),
  ):
    rows, findings = campaign(pathlib.Path(root), **values)
  print(table(rows))
  judge.write(findings, path)
  if findings:
    print(judge.table(findings))
    sys.exit(1)


class Budget:
  """The time that a campaign has."""

  def __init__(self, minutes: float = math.inf):
    self._until = time.monotonic() + minutes * 60

  def end(self) -> None:
    """Ends it now."""
    self._until = -math.inf

  @property
  def over(self) -> bool:
    """Whether nothing more is to be begun."""
    return time.monotonic() > self._until


def each(
  function: Callable[[int, _Item], _Result],
  items: Iterable[_Item],
  budget: Budget,
) -> list[tuple[_Item, _Result]]:
  """Calls a function with each item, as many at once as doors are opened.

  Args:
    function: of (number of the item, item).
    items: in an order in which the first ones stand for all.
    budget: when it is over, no other is begun.

  Returns:
    (item, what came of it) of those that were begun.
  """

  def one(place):
    return [] if budget.over else [(place[1], function(*place))]

  with ThreadPoolExecutor(AT_ONCE) as pool:
    return sum(pool.map(one, enumerate(items)), [])


def drawn(items: Iterable[_Item], sample: int, seed: int) -> list[_Item]:
  """Returns a sample, or all for 0, in an order that the seed says."""
  found = [*items]
  return random.Random(seed).sample(
    found, min(sample or len(found), len(found))
  )


def table(rows: Sequence[Sequence[Any]]) -> str:
  """Returns rows as Markdown; the first is the head, numbers stand right."""
  head, *rest = rows
  rule = ["---", *["---:"] * (len(head) - 1)]
  return "\n".join(
    f"| {' | '.join(map(str, row))} |" for row in (head, rule, *rest)
  )


def total(rows: Sequence[Sequence[Any]]) -> list[Any]:
  """Returns the sums of the columns of numbers, behind "all"."""
  return ["all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])]
