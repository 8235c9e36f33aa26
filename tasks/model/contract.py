"""What an encoder is to the rest; outside a family nobody asks which it is.

A family of encoders is a folder of `tasks/encoders` and a line in its table. It
has `EncoderFiles`, which say all that is known before anything is built, and an
`Encoder`, which is built of them.
"""

import abc
import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import numpy as np
import tensorflow as tf
import tf_keras

from engine.randomness import Stream
from tasks.model.flops import Flops
from tasks.wordpiece.tokenizer import Tokenizer

# What encoders of dense rows take, int32 [rows, tokens] each
# (tensorflow.org/hub, "Transformer encoders").
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")

# In the name of a variable of the i-th block.
BLOCK = re.compile(r"(?:^|/)layer_(\d+)/")


class Encoder(tf_keras.layers.Layer):
  """Encodes streams of tokens; `build(None)` creates all of its variables.

  Attributes:
    hidden_size: of the pooled output.
  """

  hidden_size: int

  def __init__(self, **kwargs):
    """Initializes the layer: its variables have names below `encoder/`."""
    super().__init__(**{"name": "encoder", **kwargs})

  # Of variables that keep their weights.
  _frozen: frozenset[Any] = frozenset()

  def freeze(
    self, depths: Collection[int], depth_of: Callable[[str], int]
  ) -> None:
    """Lets variables keep their weights: they are not trained.

    Args:
      depths: of the variables, as `EncoderFiles.layer_depth` counts them.
      depth_of: the depth of a variable, by its name.
    """
    self._frozen = frozenset(
      v.ref() for v in self.every_weight if depth_of(v.name) in depths
    )

  @property
  def every_weight(self) -> list[tf.Variable]:
    """What is trained where nothing is frozen, in one order."""
    return super().trainable_weights

  @property
  def trainable_weights(self) -> list[tf.Variable]:
    """The variables that are trained."""
    return [v for v in self.every_weight if v.ref() not in self._frozen]

  @property
  def non_trainable_weights(self) -> list[tf.Variable]:
    """The others."""
    frozen = [v for v in self.every_weight if v.ref() in self._frozen]
    return frozen + super().non_trainable_weights

  def call(
    self,
    features: Mapping[str, tf.Tensor],
    random: Stream | None = None,
    pooled_only: bool = False,
  ) -> tuple[tf.Tensor | None, tf.Tensor]:
    """Encodes sequences.

    Args:
      features: int32 `word_ids`, `type_ids` (0, or 1 from the second sentence
        on), `positions` (in their sequence, from 0), `names` and `slots`, each
        [shares, tokens]; `rows` and `segments`, each [shares, rows, width]; and
        `firsts`, [shares, sequences]. See `Tokens`; all of them name tokens and
        places of their own share.
      random: bits for dropout, which follow from the names of tokens; or None.
      pooled_only: leave out what only the sequence output needs.

    Returns:
      The sequence output [shares, tokens, hidden], or None where it is left
      out; and the pooled output [shares, sequences, hidden].
    """
    raise NotImplementedError


class HuggingFace(NamedTuple):
  """A classifier in the words of Hugging Face's Transformers.

  Attributes:
    config: of the architecture, for `config.json`.
    tensors: name -> float32 value, encoder and head.
    tokenizer: what `tokenizer_config.json` is to say beside what it says.
  """

  config: Mapping[str, Any]
  tensors: Mapping[str, np.ndarray]
  tokenizer: Mapping[str, Any] = MappingProxyType({})


Built = TypeVar("Built", bound=Encoder)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderFiles(abc.ABC, Generic[Built]):
  """An encoder as its files have it: all that is known before it is built.

  Attributes:
    names: what `--encoder` calls encoders of the family that need no directory.
    directory: of the files, local or on a file system that TensorFlow reads.
    source: the directory that they were imported from, or the same.
    tokenizer: as the files that the user named have it.
  """

  names: ClassVar[tuple[str, ...]] = ()

  directory: str
  source: str
  tokenizer: Tokenizer

  @classmethod
  @abc.abstractmethod
  def open(cls, encoder: str) -> Self | None:
    """Returns what `--encoder` names, imported if need be; None: not ours.

    It knows the directory again that `copy_to` has filled.

    Raises:
      UserError: where it is ours, but damaged.
    """

  @property
  @abc.abstractmethod
  def pretrained(self) -> bool:
    """Whether the files hold weights."""

  @property
  @abc.abstractmethod
  def vocabulary_size(self) -> int | None:
    """Tokens that the encoder knows; None: it does not say."""

  @property
  @abc.abstractmethod
  def positions(self) -> int | None:
    """Tokens of the longest sequence; None: of any length."""

  @property
  @abc.abstractmethod
  def types(self) -> int | None:
    """Sentences that it tells apart in a sequence; None: it does not say."""

  @property
  @abc.abstractmethod
  def layers(self) -> int:
    """Blocks between embeddings and pooler."""

  @property
  @abc.abstractmethod
  def packs(self) -> bool:
    """Whether sequences may share a row."""

  @abc.abstractmethod
  def build(self, *, dropout: float) -> Built:
    """Builds the layer, in the scope of the strategy; without first weights.

    Args:
      dropout: rate, wherever the encoder has dropout.
    """

  @abc.abstractmethod
  def initialize(
    self, encoder: Built, head: tf_keras.layers.Layer, seed: int
  ) -> None:
    """Gives first weights: those of the files; the others follow from the seed.

    Args:
      encoder: what `build` returned, with variables.
      head: what is trained on its pooled output.
      seed: of the run.

    Raises:
      UserError: where the files have no weights, or others than they say.
    """

  @abc.abstractmethod
  def flops(self, lengths: np.ndarray, *, classes: int) -> Flops:
    """Operations of a training step on each sequence; 0: not counted.

    Args:
      lengths: int [sequences], real tokens of each.
      classes: outputs of the head.
    """

  def layer_depth(self, variable_name: str) -> int:
    """Layers between a variable and the head, for which it is 0.

    Variables of the i-th block have `layer_<i>/` in their names, those of
    embeddings `embedding`.
    """
    block = BLOCK.search(variable_name)
    if block:
      return self.layers - int(block[1])
    return self.layers + 1 if "embedding" in variable_name else 0

  @abc.abstractmethod
  def copy_to(self, directory: str) -> None:
    """Copies what a trained run needs, into a directory that `open` knows.

    The tokenizer writes itself: the run may use another casing.
    """

  @property
  @abc.abstractmethod
  def config_path(self) -> str:
    """Path of the file of sizes that travels with an export."""

  @abc.abstractmethod
  def dense(self, encoder: Built) -> tf_keras.Model:
    """Returns the encoder in plain ops on dense rows, as others can run it.

    Returns:
      Of `INPUTS` in a dict, any number of rows of any length: a dict of float32
      `pooled_output` [rows, hidden] and `sequence_output` [rows, tokens,
      hidden].

    Raises:
      UserError: where there is no such thing.
    """

  @abc.abstractmethod
  def hugging_face(
    self, encoder: Built, readout: tuple[tf.Tensor, tf.Tensor], dropout: float
  ) -> HuggingFace:
    """Returns encoder and head as Hugging Face's library names their parts.

    Args:
      encoder: with trained weights.
      readout: kernel [hidden, outputs] and bias [outputs] of the head.
      dropout: rate of training.

    Raises:
      UserError: where it has no such names.
    """
