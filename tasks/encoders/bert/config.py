"""The sizes of a BERT encoder, as config files spell them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from engine.errors import Unreadable, UserError, quoted
from engine.formats import read_json
from tasks.encoders.face.config import CLASS, ONLY
from tasks.model.transformer import Architecture

# Both names of the approximation of GELU by tanh; "gelu" is the exact one.
_TANH_GELUS = ("gelu_new", "gelu_pytorch_tanh")

# Of each size; weights that are there have the last word.
_MOST = {
  "vocab_size": 2**24,
  "hidden_size": 2**16,
  "num_hidden_layers": 2**10,
  "num_attention_heads": 2**10,
  "intermediate_size": 2**20,
  "max_position_embeddings": 2**20,
  "type_vocab_size": 2**10,
}
_RATES = {"layer_norm_eps": 1e-30, "initializer_range": 0.0}  # The least.


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
    for name, most in _MOST.items():
      value = getattr(self, name)
      if type(value) is not int or not 1 <= value <= most:
        raise _wrong(name, value, f"an integer from 1 to {most}")
    for name, least in _RATES.items():
      value = getattr(self, name)
      if type(value) not in (int, float) or not least <= value <= 1:
        raise _wrong(name, value, f"a number from {least} to 1")
    if self.hidden_size % self.num_attention_heads:
      rule = f"a divisor of `hidden_size`, {self.hidden_size}"
      raise _wrong("num_attention_heads", self.num_attention_heads, rule)
    if self.hidden_act not in ("gelu", "relu", *_TANH_GELUS):
      raise UserError(
        f"`hidden_act` is {quoted(self.hidden_act)}, but only 'gelu', "
        "'gelu_new' and 'relu' are computed: choose another --encoder."
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
    return cls._of(path, _values(path))

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
    values = _values(path)
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
    return "gelu_new" if self.hidden_act in _TANH_GELUS else self.hidden_act

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


def _values(path: str) -> dict[str, Any]:
  try:
    return read_json(path, dict)
  except Unreadable as error:
    raise UserError(
      f"{path} {error.why}: fetch the encoder again, or choose another "
      "--encoder."
    ) from error


def _check_family(
  path: str, values: Mapping[str, Any], *, must_say: bool
) -> None:
  """Refuses the config of an encoder that is not computed as BERT is.

  RoBERTa's weights have BERT's names and shapes, and other positions: what a
  model is follows from what its config says alone.
  """
  kind, classes = values.get("model_type"), values.get("architectures") or []
  if kind not in (None, "bert"):
    raise _other(path, "model_type", kind)
  if not isinstance(classes, list):
    raise _other(path, "architectures", classes)
  matches = [CLASS.fullmatch(str(name)) for name in classes]
  families = [match[1] for match in matches if match]
  if any(family != "Bert" for family in families):
    raise _other(path, "architectures", classes)
  for name, only in ONLY.items():
    if values.get(name) not in (None, only):
      raise _other(path, name, values[name])
  size = values.get("embedding_size")
  if size not in (None, values.get("hidden_size")):
    raise _other(path, "embedding_size", size)
  own = values.get("auto_map") or ()
  if "AutoModel" in own:
    raise _other(path, "auto_map", own)
  if must_say and not kind and not families:
    raise UserError(
      f"{path} says neither by `model_type` nor by `architectures` which model "
      'it is of: add "model_type": "bert" if it is a BERT, else choose another '
      "--encoder."
    )


def _other(path: str, name: str, value: Any) -> UserError:
  return UserError(
    f"`{name}` in {path} is {quoted(value)}: that is another encoder than "
    "BERT: choose another --encoder."
  )


def _wrong(name: str, value: Any, rule: str) -> UserError:
  return UserError(
    f"`{name}` is {quoted(value)}, but must be {rule}: fetch the encoder "
    "again, or choose another --encoder."
  )
