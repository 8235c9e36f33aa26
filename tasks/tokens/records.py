"""Encoded pairs in TFRecord files, with the features of the tutorial.

`meta_data`, a JSON file beside them, says what they hold. It is written last:
a directory without it is not whole. Files of Model Garden's own
`classifier_data_lib` are read too; their `meta_data` says less.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from absl import logging
from google.protobuf.message import DecodeError

from engine.errors import UserError
from engine.files import reason_of
from tasks.data.record_files import (
  UNKNOWN,
  FileFacts,
  check_file,
  missing_beside,
  open_records,
)
from tasks.tokens.encoded import EncodedPairs

_BATCH = 1024  # Records parsed at once.


@dataclasses.dataclass(frozen=True)
class Records:
  """What some files hold.

  Attributes:
    encoded: the pairs.
    labels: int32 or float32 [pairs].
    ids: int64 [pairs], the place of each in the split that was encoded.
    weights: float32 [pairs]; None where the files have none.
    damaged: files that were passed over.
  """

  encoded: EncodedPairs
  labels: np.ndarray
  ids: np.ndarray
  weights: np.ndarray | None = None
  damaged: Sequence[str] = ()

  @classmethod
  def joined(
    cls, parts: Sequence["Records"], damaged: Sequence[str] = ()
  ) -> "Records":
    """Returns what all parts hold, in their order."""
    weights = [part.weights for part in parts if part.weights is not None]
    return cls(
      EncodedPairs.joined([part.encoded for part in parts]),
      np.concatenate([part.labels for part in parts]),
      np.concatenate([part.ids for part in parts]),
      np.concatenate(weights) if weights else None,
      damaged,
    )


def serialize(
  encoded: EncodedPairs,
  labels: Sequence[float],
  ids: Sequence[int],
  *,
  weights: Sequence[float] | None = None,
  length: int,
) -> list[bytes]:
  """Encodes pairs as `tf.train.Example`s.

  Args:
    encoded: the pairs.
    labels: int, or float for scores.
    ids: of the pairs.
    weights: of the pairs, if they differ.
    length: tokens of a row.
  """
  # Messages that follow each other are one message: features that few rows
  # differ in are encoded once.
  kept = functools.cache(_feature)
  records = []
  for i, (label, number) in enumerate(zip(labels, ids, strict=True)):
    tokens = encoded.ids[encoded.starts[i] : encoded.starts[i + 1]].tolist()
    real, first = len(tokens), int(encoded.first[i])
    features = b"".join(
      (
        _feature("input_ids", tokens, length - real),
        kept("input_mask", (1,) * real, length - real),
        kept(
          "segment_ids", (0,) * first + (1,) * (real - first), length - real
        ),
        kept("label_ids", (label,)),
        kept("is_real_example", (1,)),
        _feature("example_id", (int(number),)),
        b"" if weights is None else _feature("weight", (float(weights[i]),)),
      )
    )
    example = tf.train.Example()
    example.features.ParseFromString(features)
    records.append(example.SerializeToString(deterministic=True))
  return records


def _feature(name: str, values: Sequence[float], zeros: int = 0) -> bytes:
  """Encodes `tf.train.Features` of one feature, with zeros behind."""
  feature = tf.train.Feature()
  if isinstance(values[0], float):
    feature.float_list.value.extend(values)
  else:
    feature.int64_list.value.extend((*values, *(0,) * zeros))
  return tf.train.Features(feature={name: feature}).SerializeToString()


def read_records(
  paths: Sequence[str],
  *,
  length: int,
  vocabulary: int,
  label_type: type[np.generic] = np.int32,
  facts: Mapping[str, FileFacts],
  on_damaged: str = "stop",
) -> Records:
  """Reads all records of some files, and believes none of them.

  Args:
    paths: of the files.
    length: tokens of a row.
    vocabulary: how many ids of tokens there are.
    label_type: int32, or float32 for scores.
    facts: name of a file -> what it must hold, where that is known. One that
      belongs to `paths` and is not on the disk is damaged too.
    on_damaged: "stop" at a damaged file, or "skip" the whole of it.

  Raises:
    UserError: naming the file that is damaged.
  """
  parts, damaged = [], []
  for path in [*paths, *missing_beside(paths, facts)]:
    try:
      found = _read_file(path, length, vocabulary, label_type)
      known = facts.get(os.path.basename(path))
      if known:
        check_file(path, len(found.ids), known)
      parts.append(found)
    except (tf.errors.OpError, DecodeError, ValueError) as error:
      gone = isinstance(error, tf.errors.NotFoundError)
      reason = "it is missing" if gone else reason_of(error)[:100]
      if on_damaged == "stop":
        raise UserError(
          f"The records {path} are damaged ({reason}): remove "
          "the file and give the launch.encode command again, or pass over "
          "such files with --on_damaged_shard=skip."
        ) from error
      logging.warning("passed over %s, which is damaged: %s", path, reason)
      damaged.append(path)
  if not parts:
    raise UserError(f"No record is left in {', '.join(paths)}: encode again.")
  return Records.joined(parts, damaged)


def _read_file(
  path: str, length: int, vocabulary: int, label_type: type[np.generic]
) -> Records:
  """Raises `OpError`, `DecodeError` or `ValueError` at damage."""
  _check_length(path, length)
  row, one = (tf.io.FixedLenFeature([n], tf.int64) for n in (length, 1))
  spec = {"input_ids": row, "input_mask": row, "segment_ids": row}
  missing = tf.io.FixedLenFeature([1], tf.int64, default_value=[UNKNOWN])
  spec |= {"label_ids": one, "example_id": missing}
  if label_type == np.float32:
    spec["label_ids"] = tf.io.FixedLenFeature([1], tf.float32)
  spec["weight"] = tf.io.FixedLenFeature([1], tf.float32, default_value=[1.0])
  batches = open_records(path).batch(_BATCH)
  parts: list[Records] = []
  position = np.arange(length)
  for batch in batches.map(
    lambda records: tf.io.parse_example(records, spec),
    num_parallel_calls=tf.data.AUTOTUNE,
  ):
    rows = {name: value.numpy() for name, value in batch.items()}
    mask, second = rows["input_mask"], rows["segment_ids"]
    lengths = mask.sum(1)
    first = lengths - second.sum(1)
    labels, ids, weights = (
      rows[x][:, 0] for x in ("label_ids", "example_id", "weight")
    )
    real = position < lengths[:, None]
    tokens = rows["input_ids"][real]
    behind = real & (position >= first[:, None])
    place = _BATCH * len(parts)
    _check(place, "input_mask", (lengths > 0) & (mask == real).all(1))
    _check(place, "segment_ids", (first > 0) & (second == behind).all(1))
    if tokens.min() < 0 or tokens.max() >= vocabulary:
      outside = (rows["input_ids"] < 0) | (rows["input_ids"] >= vocabulary)
      _check(place, "input_ids", ~(outside & real).any(1))
    _check(place, "weight", (weights >= 0) & np.isfinite(weights))
    if label_type == np.int32:
      _check(place, "label_ids", (labels >= UNKNOWN) & (labels < 2**31))
    _check(place, "example_id", ids >= UNKNOWN)
    encoded = EncodedPairs(
      ids=tokens.astype(np.int32),
      starts=np.concatenate([[0], np.cumsum(lengths)]),
      first=first.astype(np.int32),
      truncated=0,
    )
    parts.append(Records(encoded, labels.astype(label_type), ids, weights))
  if not parts:
    raise ValueError("it has no record")
  return Records.joined(parts)


def _check(place: int, feature: str, good: np.ndarray) -> None:
  """Raises `ValueError` naming the first record, from `place` on, that is not.

  Args:
    place: of the first of them in its file.
    feature: that is looked at.
    good: bool [records].
  """
  if not good.all():
    raise ValueError(
      f"`{feature}` of record {place + int(good.argmin())} is none that "
      "launch.encode writes"
    )


def _check_length(path: str, length: int) -> None:
  """Raises `ValueError` where the first record has another length."""
  for record in open_records(path).take(1):
    example = tf.train.Example.FromString(record.numpy())
    found = len(example.features.feature["input_ids"].int64_list.value)
    if found != length:
      raise ValueError(f"its rows have {found} tokens instead of {length}")
