"""Predictions of a split, in the form that a leaderboard wants."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from tasks.config import SentencePairConfig
from tasks.data.datasets import open_texts
from tasks.data.left_out import UNREADABLE
from tasks.data.tables import Roles
from tasks.named_sets import NAMED_SETS, Board


def files_of(config: SentencePairConfig) -> Mapping[str, str]:
  """Returns the splits that a leaderboard asks for, and their files."""
  return board_of(config).files or {"test": "test.tsv"}


def board_of(config: SentencePairConfig) -> Board:
  """Returns the form of predictions: that of GLUE, where a set has no other."""
  named = NAMED_SETS.get(config.name)
  return named.board if named else Board()


def rows_of(
  config: SentencePairConfig,
  split: str,
  *,
  ids: Sequence[int],
  classes: Sequence[str],
  readings: Mapping[str, np.ndarray],
  unread: Collection[int] = (),
) -> Iterator[dict[str, str]]:
  """Yields the columns of each row, in the order of its id.

  Args:
    config: of the task.
    split: whose pairs were predicted.
    ids: of the pairs.
    classes: names of the classes; none for a score.
    readings: `probabilities` [pairs, classes], or `score` [pairs].
    unread: ids of the rows that could not be read: `UNREADABLE`.
  """
  board = board_of(config)
  named = NAMED_SETS.get(config.name)
  if classes:
    says = board.says or classes
    said = [says[i] for i in np.argmax(readings["probabilities"], axis=-1)]
  else:
    scores = np.clip(readings["score"], *board.limits)
    said = [f"{score:.3f}" for score in scores]
  names = {"prediction", named.file_columns[2]} if named else {"prediction"}
  keys = _official_ids(config, split, board.ids) if board.ids else {}
  of_row = dict.fromkeys(unread, UNREADABLE)
  of_row |= dict(zip(ids, said, strict=True))
  for row in sorted(of_row):
    rest = (of_row[row] if x in names else "NA" for x in board.columns[1:])
    key = keys.get(row, str(row))
    yield dict(zip(board.columns, (key, *rest), strict=True))


def _official_ids(
  config: SentencePairConfig, split: str, column: str
) -> dict[int, str]:
  """Returns the names of rows, where the official files have some."""
  table = open_texts(config, split)
  choice = dataclasses.replace(table.choice, unlabelled=None)
  roles = Roles(column, "", "")
  named = dataclasses.replace(table, roles=roles, choice=choice)
  return {row.number: row.text_a for row in named.rows()}
