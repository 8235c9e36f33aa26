"""Predictions of a split, in the form that a leaderboard wants."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tasks.config import SentencePairConfig
from tasks.data.datasets import open_split
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
  ids: Sequence[int | str],
  classes: Sequence[str],
  readings: Mapping[str, np.ndarray],
) -> Iterator[dict[str, str]]:
  """Yields the columns of each pair, in the order of its id.

  Args:
    config: of the task.
    split: whose pairs were predicted.
    ids: of the pairs.
    classes: names of the classes; none for a score.
    readings: `probabilities` [pairs, classes], or `score` [pairs].
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
  keys = _official_ids(config, split, board.ids) if board.ids else ids
  for i in sorted(range(len(ids)), key=lambda i: ids[i]):
    rest = (said[i] if x in names else "NA" for x in board.columns[1:])
    yield dict(zip(board.columns, (str(keys[i]), *rest), strict=True))


def _official_ids(
  config: SentencePairConfig, split: str, column: str
) -> list[str]:
  # Names, where the official files have some, are read as labels are.
  table = open_split(config, split).table
  roles = table.roles._replace(label=column)
  table = dataclasses.replace(table, roles=roles)
  return [row.label for row in table.rows()]
