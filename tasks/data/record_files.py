"""TFRecord files, and `meta_data` beside them, which says what they hold."""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from engine.errors import Damaged, Missing, UserError
from engine.files import whole, write_json
from engine.formats import read_json

META = "meta_data"
UNKNOWN = -1  # The label of a pair without one.

_ENDING = ".tfrecord"
_PACKED = ".gz"
_ENDINGS = tuple(  # What others write.
  ending + packed
  for ending in (_ENDING, ".tfrecords", ".tf_record")
  for packed in ("", _PACKED)
)


def are_records(paths: Sequence[str]) -> bool:
  """Whether files are TFRecord files, by their names."""
  return bool(paths) and all(path.endswith(_ENDINGS) for path in paths)


def name_of(split: str, index: int, count: int) -> str:
  """Returns the name of one file of a split."""
  return f"{split}-{index:05d}-of-{count:05d}{_ENDING}"


def write_records(path: str, records: Sequence[bytes]) -> None:
  """Writes a file, which appears whole."""
  with whole(path) as part, tf.io.TFRecordWriter(part) as writer:
    for record in records:
      writer.write(record)


def write_meta(directory: str, values: Mapping[str, Any]) -> None:
  """Writes `meta_data`, which appears whole."""
  write_json(os.path.join(directory, META), values)


def read_meta(paths: Sequence[str]) -> dict[str, Any]:
  """Reads what is said of some files of one directory.

  Raises:
    UserError: where that is missing or damaged.
  """
  folders = {os.path.dirname(path) for path in paths}
  if len(folders) > 1:
    raise UserError(
      f"Records lie in {sorted(folders)}: name files of one directory, with "
      f"its {META}."
    )
  path = os.path.join(folders.pop(), META)
  try:
    values = read_json(path, {"max_seq_length": int})
  except Missing as error:
    raise UserError(
      f"There is no {path}: these records are not whole, run launch.encode "
      "to its end."
    ) from error
  except Damaged as error:
    raise UserError(f"{path} {error.why}: run launch.encode again.") from error
  return values


def check_meta(
  meta: Mapping[str, Any],
  where: str,
  *,
  length: int,
  vocabulary: Collection[str],
  tokenizer: Mapping[str, Any],
  classes: Sequence[str],
) -> None:
  """Refuses records that were made for something else.

  Args:
    meta: what is said of them.
    where: they are, for complaints.
    length: tokens of a row, of the config.
    vocabulary: digests of the encoder's, as its file is and as we write it.
    tokenizer: what else ids depend on.
    classes: of the task.

  Raises:
    UserError: naming what differs.
  """
  if int(meta["max_seq_length"]) != length:
    raise UserError(
      f"{where} holds rows of {meta['max_seq_length']} tokens, but "
      f"`max_seq_length` is {length}: add --params_override="
      f"task.max_seq_length={meta['max_seq_length']}, or encode again."
    )
  if "vocabulary" in meta and meta["vocabulary"] not in vocabulary:
    raise UserError(
      f"{where} was encoded with another vocabulary than that of --encoder: "
      "name the encoder that it was made for, or encode again."
    )
  said = meta.get("tokenizer", tokenizer)
  if said != tokenizer:
    raise UserError(
      f"{where} was encoded by another tokenizer ({said}) than that of "
      f"--encoder ({tokenizer}): set --casing as it was, or encode again."
    )
  found = meta.get("classes", list(classes))
  if list(found) != list(classes):
    raise UserError(
      f"{where} has the classes {found}, but the task {list(classes)}: they "
      "do not belong together."
    )


def open_records(path: str) -> tf.data.Dataset:
  """Returns the records of a file, packed or not: serialized examples."""
  packed = "GZIP" if path.endswith(_PACKED) else ""
  return tf.data.TFRecordDataset(path, compression_type=packed)


def count_records(path: str) -> int:
  """Counts the records of a file, and checks their checksums."""
  counted = open_records(path).reduce(np.int64(0), lambda count, _: count + 1)
  return int(counted)
