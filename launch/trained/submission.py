"""Predictions of a split, in the form that a leaderboard wants."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from tasks.config import SentencePairConfig
from tasks.data.datasets import open_split
from tasks.named_sets import NAMED_SETS, Board


def splits_of(config: SentencePairConfig) -> list[str]:
  """Returns the splits that a leaderboard asks for; or test."""
  return list(board_of(config).files) or ["test"]


def board_of(config: SentencePairConfig) -> Board:
  """Returns the form of predictions: that of GLUE, where a set has no other."""
  named = NAMED_SETS.get(config.name)
  return named.board if named else Board()


def name_of(config: SentencePairConfig, split: str) -> str:
  """Returns the name of the file for a split."""
  return board_of(config).files.get(split, f"{split}.tsv")


def lines_of(
  config: SentencePairConfig,
  split: str,
  *,
  ids: Sequence[int | str],
  classes: Sequence[str],
  outputs: np.ndarray,
) -> Iterator[str]:
  """Yields a header, and a line for each pair in the order of its id.

  Args:
    config: of the task.
    split: whose pairs were predicted.
    ids: of the pairs.
    classes: names of the classes; none for a score.
    outputs: [pairs, classes] shares, or [pairs, 1] scores.
  """
  board = board_of(config)
  named = NAMED_SETS.get(config.name)
  if classes:
    says = board.says or classes
    said = [says[i] for i in np.argmax(outputs, axis=-1)]
  else:
    said = [f"{score:.3f}" for score in np.clip(outputs[:, 0], *board.limits)]
  names = {"prediction", named.file_columns[2]} if named else {"prediction"}
  yield "\t".join(board.columns)
  keys = _official_ids(config, split, board.ids) if board.ids else ids
  for i in sorted(range(len(ids)), key=lambda i: ids[i]):
    rest = (said[i] if x in names else "NA" for x in board.columns[1:])
    yield "\t".join([str(keys[i]), *rest])


def _official_ids(
  config: SentencePairConfig, split: str, column: str
) -> list[str]:
  # Names, where the official files have some, are read as labels are.
  table = open_split(config, split).table
  roles = table.roles._replace(label=column)
  table = dataclasses.replace(table, roles=roles)
  return [row.label for row in table.rows()]
