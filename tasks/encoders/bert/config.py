"""The sizes of a BERT encoder, as config files spell them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from engine.errors import UserError
from tasks.encoders.face import config as shared
from tasks.encoders.face.config import Stated, kind_of, values_at
from tasks.encoders.face.family import KINDS
from tasks.model.transformer import Architecture

_WHOLE = {
  "vocab_size": shared.WORDS,
  "hidden_size": shared.SIZE,
  "num_hidden_layers": shared.LAYERS,
  "num_attention_heads": shared.LAYERS,
  "intermediate_size": shared.INNER,
  "max_position_embeddings": shared.POSITIONS,
  "type_vocab_size": shared.TYPES,
}
_REAL = {
  "layer_norm_eps": shared.EPSILON,
  "initializer_range": shared.DEVIATION,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertConfig:
  """The fields of `bert_config.json` that shape an encoder.

  Attributes:
    hidden_act: as Hugging Face names it: "gelu" (by erf), "gelu_new" (by
      tanh) or "relu".
  """

  vocab_size: int
  hidden_size: int
  num_hidden_layers: int
  num_attention_heads: int
  intermediate_size: int
  max_position_embeddings: int = 512
  type_vocab_size: int = 2
  hidden_act: str = "gelu"
  layer_norm_eps: float = 1e-12
  initializer_range: float = 0.02

  def __post_init__(self):
    said = Stated(dataclasses.asdict(self), "its config")
    for name, bound in _WHOLE.items():
      said.whole(name, bound)
    for name, bound in _REAL.items():
      said.real(name, bound)
    said.divides(
      "num_attention_heads", self.num_attention_heads, self.hidden_size
    )
    said.one_of("hidden_act", shared.ACTIVATIONS)

  @classmethod
  def from_dict(cls, values: Mapping[str, Any]) -> "BertConfig":
    """Takes what shapes an encoder from the content of a config file.

    Google's code (google-research/bert, Model Garden) computes what it names
    "gelu" by tanh, Hugging Face's by erf: a dictionary with a `model_type` is
    of the latter.

    Raises:
      UserError: where a field is missing or cannot be computed.
    """
    names = {field.name for field in dataclasses.fields(cls)}
    values = dict(values)
    if "model_type" not in values and values.get("hidden_act") == "gelu":
      values["hidden_act"] = "gelu_new"
    try:
      return cls(**{k: v for k, v in values.items() if k in names})
    except TypeError as error:
      reason = str(error).replace("BertConfig.__init__() ", "")
      raise UserError(
        f"This is no whole config of a BERT encoder ({reason}): choose another "
        "--encoder."
      ) from error

  def to_dict(self) -> dict[str, Any]:
    """Returns what `from_dict` makes the same config of."""
    return {**dataclasses.asdict(self), "model_type": "bert"}

  def to_garden(self, **rates: float) -> Any:
    """Returns Model Garden's `EncoderConfig`; `rates` are its of dropout."""
    # Imported here: only peers need Model Garden's configs.
    from official.nlp.configs import encoders

    return encoders.EncoderConfig(
      type="bert",
      bert=encoders.BertEncoderConfig(
        vocab_size=self.vocab_size,
        hidden_size=self.hidden_size,
        num_layers=self.num_hidden_layers,
        num_attention_heads=self.num_attention_heads,
        intermediate_size=self.intermediate_size,
        max_position_embeddings=self.max_position_embeddings,
        type_vocab_size=self.type_vocab_size,
        **rates,
      ),
    )

  @classmethod
  def read(cls, path: str) -> "BertConfig":
    """Reads a `bert_config.json` of whatever is known to be a BERT.

    Raises:
      UserError: where it is no config of a BERT encoder.
    """
    return cls._of(path, values_at(path))

  @classmethod
  def read_stated(cls, path: str, *, face: bool) -> "BertConfig":
    """Reads the config of a stranger, which must be a BERT's.

    Args:
      path: of `bert_config.json` or a Hugging Face `config.json`.
      face: whether it is the latter: these say which model they are of, and
        mean by "gelu" the exact one.

    Raises:
      UserError: where it is of another encoder, or does not say.
    """
    values = values_at(path)
    _check_family(path, values, must_say=face)
    return cls._of(path, {**values, "model_type": "bert"} if face else values)

  @classmethod
  def _of(cls, path: str, values: Mapping[str, Any]) -> "BertConfig":
    try:
      return cls.from_dict(values)
    except UserError as error:
      raise UserError(f"{path}: {error}") from error

  @property
  def activation(self) -> str:
    """As `bias_activation` names it."""
    return shared.ACTIVATIONS[self.hidden_act]

  @property
  def shape(self) -> Architecture:
    """What the encoder is."""
    return Architecture(
      words=self.vocab_size,
      hidden=self.hidden_size,
      layers=self.num_hidden_layers,
      heads=self.num_attention_heads,
      inner=self.intermediate_size,
      embedding=self.hidden_size,
      positions=self.max_position_embeddings,
      types=self.type_vocab_size,
      activation=self.activation,
      epsilon=self.layer_norm_eps,
      deviation=self.initializer_range,
    )


def _check_family(
  path: str, values: Mapping[str, Any], *, must_say: bool
) -> None:
  """Refuses the config of an encoder that is not computed as BERT is.

  RoBERTa's weights have BERT's names and shapes, and other positions: what a
  model is follows from what its config says alone.
  """
  said = Stated(values, path)
  kind = kind_of(said, ("bert",))
  said.only({**shared.ONLY, "embedding_size": values.get("hidden_size")})
  if must_say and not kind:
    raise UserError(
      f"{path} says neither by `model_type` nor by `architectures` which model "
      f"it is of: add `model_type`, one of {', '.join(KINDS)}."
    )
