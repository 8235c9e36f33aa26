"""Encoders as SavedModels: TensorFlow Hub's, and what Model Garden exports.

They implement the API of text encoders (tensorflow.org/hub, "Transformer
encoders"): dense int32 `input_word_ids`, `input_mask` and `input_type_ids`,
each [rows, width], in; `pooled_output` and `sequence_output` out.
"""

import dataclasses
import os
import warnings
from types import ModuleType
from typing import Any

import tensorflow as tf

from engine.errors import UserError, words_of
from engine.files import is_local
from tasks.encoders.sources.cache import cache_directory, digest_of, hold
from tasks.encoders.sources.place import is_handle
from tasks.wordpiece import stated
from tasks.wordpiece.spec import VOCABULARY, WordPiece


def library() -> ModuleType:
  """Imports `tensorflow_hub`, which few runs need and which complains."""
  with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    import tensorflow_hub

  return tensorflow_hub


def resolve(handle: str) -> str:
  """Returns the directory of a SavedModel, fetched once if it is an address.

  Raises:
    UserError: where it cannot be fetched, or is none.
  """
  hub = library()
  os.environ.setdefault(
    "TFHUB_CACHE_DIR", os.path.join(cache_directory(), "tfhub")
  )
  try:
    path = hub.resolve(handle)
  except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
    raise UserError(
      f"The hub encoder {handle} cannot be fetched ({words_of(error)}): "
      "download it where there is a network, and name its directory by "
      "--encoder."
    ) from error
  if not tf.io.gfile.exists(os.path.join(path, "saved_model.pb")):
    raise UserError(
      f"{handle} is no SavedModel: name a hub encoder's address, or the "
      "directory that holds saved_model.pb."
    )
  if is_handle(handle) and is_local(path):
    hold(path)
  return path


def load(path: str) -> Any:
  """Loads a SavedModel.

  Raises:
    UserError: where it is damaged.
  """
  # About anything is raised at what is in such files.
  try:
    return tf.saved_model.load(path)
  except Exception as error:
    raise UserError(
      f"The SavedModel {path} cannot be loaded ({words_of(error)}): fetch it "
      "again."
    ) from error


def write_tokenizer(path: str, model: Any, target: str) -> None:
  """Writes `vocab.txt` and `tokenizer_config.json`.

  Args:
    path: of the SavedModel.
    model: what was loaded from it.
    target: a directory.

  Raises:
    UserError: where it brings no vocabulary of wordpieces, or no good one.
  """
  assets = os.path.join(path, "assets")
  asset = getattr(model, "vocab_file", None)
  if asset is not None:
    vocabulary = asset.asset_path.numpy().decode()
  else:
    vocabulary = os.path.join(assets, VOCABULARY)
  if not tf.io.gfile.exists(vocabulary):
    raise UserError(
      f"The SavedModel {path} has no vocabulary of wordpieces: put it there as "
      "assets/vocab.txt."
    )
  lowers = getattr(model, "do_lower_case", None)
  lowercase = None if lowers is None else bool(lowers.numpy())
  stated.read_wordpiece(assets, lines=vocabulary, lowercase=lowercase).write(
    target
  )


def tokenizer_of(path: str, directory: str) -> WordPiece:
  """Returns what `write_tokenizer` wrote, which names the SavedModel's file.

  Args:
    path: of the SavedModel.
    directory: that was written to.
  """
  tokenizer = stated.read_wordpiece(directory)
  source = os.path.join(path, "assets", VOCABULARY)
  if tf.io.gfile.exists(source):
    return dataclasses.replace(tokenizer, source=source)
  return tokenizer


def digests(path: str) -> list[str]:
  """Digests of all files of a SavedModel."""
  files = (
    os.path.join(parent, name)
    for parent, _, names in tf.io.gfile.walk(path)
    for name in names
  )
  return [digest_of(file) for file in sorted(files)]
