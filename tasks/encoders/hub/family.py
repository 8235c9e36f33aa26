"""What a SavedModel that runs itself is to the rest."""

import functools
import os
from typing import NoReturn, Self

import numpy as np
import tensorflow as tf
import tf_keras

from engine.errors import UserError
from tasks.config import RUNS_ITSELF
from tasks.encoders.hub.encoder import HubEncoder
from tasks.encoders.hub.facts import FACTS, Facts, inspect
from tasks.encoders.sources import saved_models
from tasks.encoders.sources.cache import cached, copy_all, copy_tree, key_of
from tasks.encoders.sources.place import has
from tasks.model.contract import EncoderFiles
from tasks.model.flops import Flops
from tasks.model.layers import draw
from tasks.wordpiece import stated

_SAVED_MODEL = "hub"  # Beside the vocabulary.
_INITIALIZER_RANGE = 0.02  # Of the head, as BERT's.


class HubFiles(EncoderFiles[HubEncoder]):
  """A directory with a vocabulary, a SavedModel and what is known of it."""

  @classmethod
  def open(cls, encoder: str) -> Self | None:
    if not encoder.startswith(RUNS_ITSELF):
      mark = os.path.join(_SAVED_MODEL, "saved_model.pb")
      if not has(encoder, mark):
        return None
      tokenizer = stated.read(encoder)
      return cls(directory=encoder, source=encoder, tokenizer=tokenizer)
    path = saved_models.resolve(encoder.removeprefix(RUNS_ITSELF))

    def make(part):
      model = saved_models.load(path)
      saved_models.write_tokenizer(path, model, part)
      inspect(path, model).write(part)
      copy_tree(path, os.path.join(part, _SAVED_MODEL))

    key = key_of("itself", *saved_models.digests(path))
    directory = cached(key, make)
    tokenizer = saved_models.tokenizer_of(path, directory)
    return cls(directory=directory, source=path, tokenizer=tokenizer)

  @functools.cached_property
  def facts(self) -> Facts:
    """What is known of the SavedModel."""
    return Facts.read(self.directory)

  @property
  def pretrained(self) -> bool:
    return True

  @property
  def vocabulary_size(self) -> int | None:
    return self.facts.words

  @property
  def positions(self) -> int | None:
    return self.facts.positions

  @property
  def types(self) -> int | None:
    return self.facts.types

  @property
  def layers(self) -> int:
    return self.facts.layers

  @property
  def packs(self) -> bool:
    return False

  def build(self, *, dropout: float) -> HubEncoder:
    del dropout  # See `HubEncoder`.
    return HubEncoder(os.path.join(self.directory, _SAVED_MODEL), self.facts)

  def initialize(
    self, encoder: HubEncoder, head: tf_keras.layers.Layer, seed: int
  ) -> None:
    del encoder  # It has brought its weights.
    draw(head.trainable_variables, seed, deviation=_INITIALIZER_RANGE)

  def flops(self, lengths: np.ndarray, *, classes: int) -> Flops:
    del classes
    return Flops(np.zeros(len(lengths)), np.zeros(len(lengths)))

  def copy_to(self, directory: str) -> None:
    copy_all([FACTS], self.directory, directory)
    saved_model = os.path.join(self.directory, _SAVED_MODEL)
    copy_tree(saved_model, os.path.join(directory, _SAVED_MODEL))

  @property
  def config_path(self) -> str:
    return os.path.join(self.directory, FACTS)

  def dense(self, encoder: HubEncoder) -> NoReturn:
    raise _closed()

  def hugging_face(
    self,
    encoder: HubEncoder,
    readout: tuple[tf.Tensor, tf.Tensor],
    dropout: float,
  ) -> NoReturn:
    raise _closed()


def _closed() -> UserError:
  return UserError(
    "This run trains a SavedModel as it is (--encoder=hub:...), whose parts "
    "are not known: only runs of BERT encoders can be exported."
  )
