"""What the families share whose encoders are computed here."""

import abc
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import ClassVar, TypeVar

import numpy as np

from tasks.encoders.sources.cache import copy_all
from tasks.model.contract import Encoder, EncoderFiles
from tasks.model.encoder import Sizes
from tasks.model.flops import Flops, training_flops

_MOST_OF = 0.9  # Rows of a table may be rounded up.

Built = TypeVar("Built", bound=Encoder)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ComputedFiles(EncoderFiles[Built], abc.ABC):
  """An encoder whose sizes are in a config, beside its weights.

  Attributes:
    config_name: of the file of sizes.
    gated: whether its feed-forward has a gate.
  """

  config_name: ClassVar[str]
  gated: ClassVar[bool] = False

  @property
  @abc.abstractmethod
  def shape(self) -> Sizes:
    """What the encoder is.

    Raises:
      UserError: where its config says what cannot be computed.
    """

  @property
  def config_path(self) -> str:
    return os.path.join(self.directory, self.config_name)

  @property
  def vocabulary_size(self) -> int:
    return self.shape.words

  @property
  def positions(self) -> int:
    return self.shape.positions

  @property
  def layers(self) -> int:
    return self.shape.layers

  @property
  def packs(self) -> bool:
    return True

  def flops(self, lengths: np.ndarray, *, classes: int) -> Flops:
    shape = self.shape
    return training_flops(
      hidden=shape.hidden,
      inner=shape.inner,
      layers=shape.layers,
      lengths=lengths,
      classes=classes,
      gated=self.gated,
    )

  def copy_to(self, directory: str) -> None:
    copy_all([self.config_name], self.directory, directory)

  def remarks(
    self, *, has_pooler: bool, halves: bool, left_out: Sequence[str]
  ) -> Iterator[str]:
    """Yields what the files lack, and what of them is not used.

    Args:
      has_pooler: whether the weights have one.
      halves: whether they are of 16 bits.
      left_out: names of those that are of no part of the encoder.
    """
    if not has_pooler:
      yield (
        f"The weights of {self.source} have no pooler: it begins at random, as "
        "the head does."
      )
    if halves:
      yield f"The weights of {self.source} are of 16 bits: read as float32."
    if left_out:
      names, count = ", ".join(left_out[:3]), len(left_out)
      yield (
        f"Of the weights in {self.source} {count} are of no part of the "
        f"encoder and left out: {names}{', ...' if count > 3 else ''}."
      )
    pieces, words = len(self.tokenizer.pieces), self.vocabulary_size
    if pieces < _MOST_OF * words:
      yield (
        f"{self.tokenizer.source} has {pieces} pieces, but the encoder "
        f"{words}: the others are in no text; see that the file is whole."
      )
