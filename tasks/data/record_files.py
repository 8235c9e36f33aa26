"""TFRecord files, and `meta_data` beside them, which says what they hold."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from engine.errors import UserError

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
  folder, name = os.path.split(path)
  # A name that no glob of shards finds.
  part = os.path.join(folder, f".{name}.part-{os.getpid()}")
  with tf.io.TFRecordWriter(part) as writer:
    for record in records:
      writer.write(record)
  tf.io.gfile.rename(part, path, overwrite=True)


def write_meta(directory: str, values: Mapping[str, Any]) -> None:
  """Writes `meta_data`, which appears whole."""
  path = os.path.join(directory, META)
  with tf.io.gfile.GFile(path + ".part", "w") as file:
    file.write(json.dumps(values, indent=1))
  tf.io.gfile.rename(path + ".part", path, overwrite=True)


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
  if not tf.io.gfile.exists(path):
    raise UserError(
      f"There is no {path}: these records are not whole, run launch.encode "
      "to its end."
    )
  try:
    with tf.io.gfile.GFile(path) as file:
      values = json.load(file)
    int(values["max_seq_length"])
  except (ValueError, KeyError, TypeError) as error:
    raise UserError(
      f"{path} is damaged ({error!r}): run launch.encode again."
    ) from error
  return values


def check_meta(
  meta: Mapping[str, Any],
  where: str,
  *,
  length: int,
  vocabulary: str,
  classes: Sequence[str],
) -> None:
  """Refuses records that were made for something else.

  Args:
    meta: what is said of them.
    where: they are, for complaints.
    length: tokens of a row, of the config.
    vocabulary: digest of the encoder's, of `digest_of_file`.
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
  if meta.get("vocabulary", vocabulary) != vocabulary:
    raise UserError(
      f"{where} was encoded with another vocabulary than that of --encoder: "
      "name the encoder that it was made for, or encode again."
    )
  found = meta.get("classes", list(classes))
  if list(found) != list(classes):
    raise UserError(
      f"{where} has the classes {found}, but the task {list(classes)}: they "
      "do not belong together."
    )


def digest_of_file(path: str) -> str:
  """Returns the SHA-256 of a file, local or not."""
  with tf.io.gfile.GFile(path, "rb") as file:
    return hashlib.sha256(file.read()).hexdigest()


def open_records(path: str) -> tf.data.Dataset:
  """Returns the records of a file, packed or not: serialized examples."""
  packed = "GZIP" if path.endswith(_PACKED) else ""
  return tf.data.TFRecordDataset(path, compression_type=packed)


def count_records(path: str) -> int:
  """Counts the records of a file, and checks their checksums."""
  counted = open_records(path).reduce(np.int64(0), lambda count, _: count + 1)
  return int(counted)
