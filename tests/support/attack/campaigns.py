"""How a campaign is started, and how it says what it found."""

import argparse
import contextlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from typing import Any

from tests.support.attack import faulty_files, judge
from tests.support.testing import ROOT

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

  Args:
    doc: the docstring of its module.
    campaign: takes the scratch directory, `seed` and the options.
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
  values = vars(parser.parse_args())
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
