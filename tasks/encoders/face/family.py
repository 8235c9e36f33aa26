"""What the families of Hugging Face's layout are to the rest."""

import abc
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging

from engine.errors import UserError
from tasks.encoders.face import config
from tasks.encoders.face.computed import Built, ComputedFiles
from tasks.encoders.face.config import CONFIG, Stated
from tasks.encoders.face.weights import Stored, Weight, tensors_of
from tasks.encoders.sources import tensors
from tasks.model.contract import HuggingFace
from tasks.model.layers import draw
from tasks.wordpiece import stated

# What Transformers' tokenizers are to give where the encoder takes no types.
_NO_TYPES = ("input_ids", "attention_mask")
# Of a config: what does not travel with an export, which is float32.
_NOT_OURS = ("dtype", "torch_dtype", "auto_map", "_name_or_path")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaceFiles(ComputedFiles[Built], abc.ABC):
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

  config_name = CONFIG
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
    assert files.shape  # Its sizes are possible.
    if files.stored:
      files.stored.check(files.weights())
    return files

  @abc.abstractmethod
  def weights(self) -> Sequence[Weight]:
    """Lists the weights of the encoder, those of its pooler as optional."""

  @functools.cached_property
  def stored(self) -> Stored | None:
    """The weights; None where there are none, as in the assets of a run."""
    if not tensors.are_in(self.directory):
      return None
    return Stored(self.directory, self.prefix)

  @property
  def pretrained(self) -> bool:
    return self.stored is not None

  def initialize(
    self, encoder: Built, head: tf_keras.layers.Layer, seed: int
  ) -> None:
    draw(
      [*encoder.every_weight, *head.trainable_variables],
      seed,
      deviation=self.shape.deviation,
    )
    stored, weights = self.stored, self.weights()
    if stored is None:
      raise UserError(
        f"{self.directory} has no model.safetensors: name an encoder with "
        "weights by --encoder."
      )
    for weight, value in stored.read(weights):
      weight.variable(encoder).assign(value)
    for remark in self.remarks(
      has_pooler=all(w.name in stored for w in weights),
      halves=stored.halves,
      left_out=stored.check(weights),
    ):
      logging.warning(remark)

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
