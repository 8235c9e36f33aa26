"""TFRecord files, and `meta_data` beside them, which says what they hold."""

import dataclasses
import os
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from engine.errors import Damaged, Missing, UserError, quoted
from engine.files import sha256_of, whole, write_json
from engine.formats import read_json
from tasks.label_text import fault_of_name

META = "meta_data"
UNKNOWN = -1  # The label of a pair without one.

_SHAPE = {
  "max_seq_length": int,
  "classes?": [str],
  "vocabulary?": str,
  "tokenizer?": dict,
  "records?": {str: int},
  "sha256?": {str: str},
}
_NAME = re.compile(r"(.+)-\d{5}-of-\d{5}\.tfrecord", re.DOTALL)
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
    values = read_json(path, _SHAPE)
    _check_values(path, values)
    return values
  except Missing as error:
    raise UserError(
      f"There is no {path}: these records are not whole, run launch.encode "
      "to its end."
    ) from error
  except Damaged as error:
    raise UserError(
      f"{path} {error.why}: remove it, and run launch.encode again."
    ) from error


def _check_values(path: str, values: Mapping[str, Any]) -> None:
  """Raises `Damaged` where values of the right types cannot be."""
  names = values.get("classes", [])
  good = {
    "max_seq_length": 0 < values["max_seq_length"] <= 2**16,
    "classes": not names or 1 < len(names) == len({*names}),
    "records": all(0 <= x < 2**31 for x in values.get("records", {}).values()),
  }
  for name, is_good in good.items():
    if not is_good:
      raise Damaged(path, f"is damaged (`{name}` is {quoted(values[name])})")
  for name in names:
    if fault := fault_of_name(name):
      raise Damaged(path, f"is damaged (the class {quoted(name)} {fault})")


@dataclasses.dataclass(frozen=True)
class FileFacts:
  """What is known of a file.

  Attributes:
    records: how many it holds.
    sha256: of its bytes; "" where an older version wrote it.
  """

  records: int
  sha256: str = ""


def facts_of(meta: Mapping[str, Any]) -> dict[str, FileFacts]:
  """Returns name -> what is known of each file, of a `read_meta`."""
  digests = meta.get("sha256", {})
  return {
    name: FileFacts(count, digests.get(name, ""))
    for name, count in meta.get("records", {}).items()
  }


def check_file(path: str, found: int, facts: FileFacts) -> None:
  """Holds a file, of which `found` records were read, against its facts.

  Raises:
    ValueError: where it is another.
  """
  if found != facts.records:
    raise ValueError(f"{found} of {facts.records} records are left")
  if facts.sha256 and sha256_of(path) != facts.sha256:
    raise ValueError("its SHA-256 is another than when it was encoded")


def missing_beside(
  paths: Sequence[str], facts: Mapping[str, FileFacts]
) -> list[str]:
  """Returns the files of the same splits that were encoded and are gone."""
  folder = os.path.dirname(paths[0])
  splits = {
    found[1] for x in paths if (found := _NAME.fullmatch(os.path.basename(x)))
  }
  beside = (
    os.path.join(folder, name)
    for name in facts
    if (found := _NAME.fullmatch(name)) and found[1] in splits
  )
  here = {*paths}
  return [x for x in beside if x not in here and not tf.io.gfile.exists(x)]


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
  if meta["max_seq_length"] != length:
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
      f"{where} was encoded by another tokenizer ({quoted(said)}) than that of "
      f"--encoder ({quoted(tokenizer)}): set --casing as it was, or encode "
      "again."
    )
  found = meta.get("classes", list(classes))
  if list(found) != list(classes):
    raise UserError(
      f"{where} has the classes {quoted(found)}, but the task "
      f"{quoted(list(classes))}: they do not belong together."
    )


def open_records(path: str) -> tf.data.Dataset:
  """Returns the records of a file, packed or not: serialized examples."""
  packed = "GZIP" if path.endswith(_PACKED) else ""
  return tf.data.TFRecordDataset(path, compression_type=packed)


def count_records(path: str) -> int:
  """Counts the records of a file, and checks their checksums."""
  counted = open_records(path).reduce(np.int64(0), lambda count, _: count + 1)
  return int(counted)
