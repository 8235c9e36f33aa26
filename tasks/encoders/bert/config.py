"""The sizes of a BERT encoder, as config files spell them."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from engine.errors import UserError

# Both names of the approximation of GELU by tanh; "gelu" is the exact one.
_TANH_GELUS = ("gelu_new", "gelu_pytorch_tanh")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertConfig:
  """The fields of `bert_config.json` that shape an encoder.

  Attributes:
    hidden_act: as Hugging Face names it: "gelu" (by erf) or "gelu_new" (by
      tanh).
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
    if self.hidden_act not in ("gelu", *_TANH_GELUS):
      raise UserError(
        f"`hidden_act` is {self.hidden_act!r}, but only BERT's 'gelu' and "
        "'gelu_new' are supported: choose another --encoder."
      )

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
    # Imported here: only imports and peers need Model Garden's configs.
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
    """Reads `bert_config.json` or a Hugging Face `config.json`.

    Raises:
      UserError: where it is no config of a BERT encoder.
    """
    try:
      with tf.io.gfile.GFile(path) as file:
        values = json.load(file)
      return cls.from_dict(values)
    except UserError as error:
      raise UserError(f"{path}: {error}") from error
    except (tf.errors.OpError, ValueError, TypeError) as error:
      raise UserError(
        f"{path} is not the config of a BERT encoder ({error}): choose another "
        "--encoder."
      ) from error

  @property
  def exact_gelu(self) -> bool:
    """Whether the activation is the exact GELU."""
    return self.hidden_act not in _TANH_GELUS
