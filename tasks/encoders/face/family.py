"""What the families of Hugging Face's layout are to the rest."""

import abc
import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging

from engine.errors import UserError
from tasks.encoders.face import config
from tasks.encoders.face.config import CONFIG, Stated
from tasks.encoders.face.weights import Stored, Weight, tensors_of
from tasks.encoders.sources import tensors
from tasks.encoders.sources.cache import copy_all
from tasks.model.contract import Encoder, EncoderFiles, HuggingFace
from tasks.model.layers import draw
from tasks.wordpiece import stated

_MOST_OF = 0.9  # Rows of a table may be rounded up.
# What Transformers' tokenizers are to give where the encoder takes no types.
_NO_TYPES = ("input_ids", "attention_mask")
# Of a config: what does not travel with an export, which is float32.
_NOT_OURS = ("dtype", "torch_dtype", "auto_map", "_name_or_path")

Built = TypeVar("Built", bound=Encoder)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaceFiles(EncoderFiles[Built], abc.ABC):
  """A local directory of Hugging Face's layout, read where it is.

  A family says what its `config.json` means and lists its weights.

  Attributes:
    kinds: what `model_type` calls the family.
    prefix: of its weights, where a head is beside them.
    readout: name of the head's last part.
    classifier: Transformers' class of a classifier.
    rates: settings of dropout in its config.
    stated: its config.
  """

  kinds: ClassVar[tuple[str, ...]]
  prefix: ClassVar[str]
  readout: ClassVar[str]
  classifier: ClassVar[str]
  rates: ClassVar[tuple[str, ...]]

  stated: Stated = dataclasses.field(compare=False)

  @classmethod
  def open(cls, encoder: str) -> Self | None:
    found = config.read(encoder)
    if found is None or config.kind_of(found, KINDS) not in cls.kinds:
      return None
    files = cls(
      directory=encoder,
      source=encoder,
      tokenizer=stated.read(encoder),
      stated=found,
    )
    files.check_sizes()
    if files.stored:
      files.stored.check(files.weights())
    return files

  @abc.abstractmethod
  def check_sizes(self) -> None:
    """Reads the config.

    Raises:
      UserError: where it says what cannot be computed.
    """

  @abc.abstractmethod
  def weights(self) -> Sequence[Weight]:
    """Lists the weights of the encoder, those of its pooler as optional."""

  @property
  @abc.abstractmethod
  def deviation(self) -> float:
    """Of weights that begin at random."""

  @functools.cached_property
  def stored(self) -> Stored | None:
    """The weights; None where there are none, as in the assets of a run."""
    if not tensors.are_in(self.directory):
      return None
    return Stored(self.directory, self.prefix)

  @property
  def config_path(self) -> str:
    return os.path.join(self.directory, CONFIG)

  @property
  def packs(self) -> bool:
    return True

  @property
  def pretrained(self) -> bool:
    return self.stored is not None

  def initialize(
    self, encoder: Built, head: tf_keras.layers.Layer, seed: int
  ) -> None:
    draw(
      [*encoder.every_weight, *head.trainable_variables],
      seed,
      deviation=self.deviation,
    )
    if self.stored is None:
      raise UserError(
        f"{self.directory} has no model.safetensors: name an encoder with "
        "weights by --encoder."
      )
    for weight, value in self.stored.read(self.weights()):
      weight.variable(encoder).assign(value)
    for remark in self._remarks(self.stored):
      logging.warning(remark)

  def _remarks(self, stored: Stored) -> Iterator[str]:
    """Says what the files lack, and what of them is not used."""
    if any(w.optional and w.name not in stored for w in self.weights()):
      yield (
        f"The weights of {self.source} have no pooler: it begins at random, as "
        "the head does."
      )
    if stored.halves:
      yield f"The weights of {self.source} are of 16 bits: read as float32."
    if left_out := stored.check(self.weights()):
      names, count = ", ".join(left_out[:3]), len(left_out)
      yield (
        f"Of the weights in {self.source} {count} are of no part of the "
        f"encoder and left out: {names}{', ...' if count > 3 else ''}."
      )
    pieces, words = len(self.tokenizer.pieces), self.vocabulary_size
    if words is not None and pieces < _MOST_OF * words:
      yield (
        f"{self.tokenizer.source} has {pieces} pieces, but the encoder "
        f"{words}: the others are in no text; see that the file is whole."
      )

  def copy_to(self, directory: str) -> None:
    copy_all([CONFIG], self.directory, directory)

  def hugging_face(
    self,
    encoder: Built,
    readout: tuple[tf.Tensor, tf.Tensor],
    dropout: float,
  ) -> HuggingFace:
    kernel, bias = (np.asarray(part) for part in readout)
    heads = {f"{self.readout}.weight": kernel.T, f"{self.readout}.bias": bias}
    values: Mapping[str, Any] = {
      k: v for k, v in self.stated.values.items() if k not in _NOT_OURS
    }
    pad = self.tokenizer.vocabulary[self.tokenizer.pad]
    return HuggingFace(
      {
        "model_type": self.kinds[0],
        **values,
        "architectures": [self.architecture],
        "pad_token_id": pad,
        **dict.fromkeys(self.rates, dropout),
      },
      tensors_of(encoder, self.exported(), self.prefix, heads),
      {} if self.types else {"model_input_names": _NO_TYPES},
    )

  @property
  def architecture(self) -> str:
    """Name of Transformers' class of a classifier."""
    return self.classifier

  def exported(self) -> Sequence[Weight]:
    """Lists the weights as a classifier names them."""
    return self.weights()


# All families that are read: those of this layout, and BERT itself.
KINDS = (
  "bert",
  "camembert",
  "distilbert",
  "electra",
  "modernbert",
  "mpnet",
  "roberta",
  "xlm-roberta",
)
