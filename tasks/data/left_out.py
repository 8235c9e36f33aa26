"""Which rows of a split are left out, and why."""

import dataclasses
from collections.abc import Collection, Sequence

from absl import logging

UNREADABLE = "unreadable"  # What is predicted of a bad row.

_SHOWN = 5  # Numbers of rows of each kind.


@dataclasses.dataclass
class LeftOut:
  """What a pass over rows has passed over.

  Rows have numbers from 0, those of several files one after the other; neither
  headers nor blank lines are rows.

  Attributes:
    rows: all of them so far.
    bad: numbers of those that cannot be read -> what is wrong with the first,
      and where; "" for the others.
    unlabelled: numbers of those whose label is known by nobody.
  """

  rows: int = 0
  bad: dict[int, str] = dataclasses.field(default_factory=dict)
  unlabelled: list[int] = dataclasses.field(default_factory=list)

  def tell(self, paths: Sequence[str]) -> None:
    """Says in one line how many of some files' rows were left out."""
    if self.bad or self.unlabelled:
      more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
      logging.warning(self.told(f"{paths[0]}{more}"))

  def told(self, name: str) -> str:
    """Returns the line: how many of what has this name, which, and why."""
    kinds = []
    if self.bad:
      first = next(iter(self.bad.values())).removeprefix(f"{name}, ")
      kinds.append(
        f"{len(self.bad):,} bad ({numbered(self.bad)}; the first: {first})"
      )
    if self.unlabelled:
      kinds.append(
        f"{len(self.unlabelled):,} without a label "
        f"({numbered(self.unlabelled)})"
      )
    count = len(self.bad) + len(self.unlabelled)
    return (
      f"{name}: left out {count:,} of {self.rows:,} rows, numbered from 0: "
      f"{', '.join(kinds)}."
    )


def numbered(rows: Collection[int]) -> str:
  """Returns the first numbers of some rows: `rows 3, 7`."""
  first = ", ".join(str(row) for row in sorted(rows)[:_SHOWN])
  more = ", ..." if len(rows) > _SHOWN else ""
  return f"row{'s' if len(rows) > 1 else ''} {first}{more}"
