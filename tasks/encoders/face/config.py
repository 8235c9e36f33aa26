"""A `config.json` of Hugging Face: whose it is, and the sizes in it."""

import os
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from engine.errors import Unreadable, UserError, quoted
from engine.formats import read_json
from tasks.encoders.sources.place import has
from tasks.model.transformer import Architecture

CONFIG = "config.json"
# Layouts whose weights count where a directory has several.
_BEFORE = ("bert_model.ckpt.index", "saved_model.pb")
ACTIVATIONS = {
  "gelu": "gelu",
  "gelu_new": "gelu_new",
  "gelu_pytorch_tanh": "gelu_new",
  "relu": "relu",
}
# The family in the name of a class, as in XLMRobertaForMaskedLM.
_CLASS = re.compile(
  r"(?:TF|Flax)?(\w*?)(?:(?:LMHead|PreTrained)?Model|For[A-Z]\w*|Encoder|Decoder)"
)
# What is computed in one way, which a config need not say.
ONLY: Mapping[str, Any] = {
  "position_embedding_type": "absolute",
  "is_decoder": False,
  "add_cross_attention": False,
  "is_encoder_decoder": False,
  "norm_first": False,
}


class Bound(NamedTuple):
  """Which values a setting may have.

  Attributes:
    least, most: the bounds, both included.
    default: where a config does not say; None: it must.
  """

  least: float
  most: float
  default: float | None = None


# Of each size; weights that are there have the last word.
WORDS = Bound(1, 2**24)
SIZE = Bound(1, 2**16)
LAYERS = Bound(1, 2**10)
INNER = Bound(1, 2**20)
POSITIONS = Bound(3, 2**20)
TYPES = Bound(1, 2**10)
EPSILON = Bound(1e-30, 1, 1e-12)
DEVIATION = Bound(0, 1, 0.02)
PADDING = Bound(0, 2**20, 1)


class Stated:
  """The settings of a config, each held to bounds as it is read.

  Attributes:
    values: all that the file says.
    path: of the file.
  """

  def __init__(self, values: Mapping[str, Any], path: str):
    self.values, self.path = values, path

  def whole(self, name: str, bound: Bound) -> int:
    """Returns a setting that is an integer."""
    return int(self._checked(name, bound, (int,), "an integer"))

  def real(self, name: str, bound: Bound) -> float:
    """Returns a setting that is a number."""
    return float(self._checked(name, bound, (int, float), "a number"))

  def one_of(self, name: str, choices: Mapping[str, Any]) -> Any:
    """Returns what a word stands for; the first where it is not said."""
    value = self.values.get(name, next(iter(choices)))
    if not isinstance(value, str) or value not in choices:
      raise self.wrong(name, value, f"one of {', '.join(choices)}")
    return choices[value]

  def flag(self, name: str) -> bool:
    """Returns a setting that is true or false, which it is if not said."""
    value = self.values.get(name, False)
    if not isinstance(value, bool):
      raise self.wrong(name, value, "true or false")
    return value

  def only(self, settings: Mapping[str, Any]) -> None:
    """Refuses another value of a setting that is computed in one way."""
    for name, value in settings.items():
      found = self.values.get(name)
      if found is not None and found != value:
        raise self.wrong(name, found, quoted(value))

  def divides(self, name: str, part: int, size: int) -> None:
    """Refuses a number of heads that does not divide the size."""
    if size % part:
      raise self.wrong(name, part, f"a divisor of the hidden size, {size}")

  def wrong(self, name: str, value: Any, rule: str) -> UserError:
    """Returns the complaint about a setting."""
    return UserError(
      f"`{name}` in {self.path} is {quoted(value)}, but must be {rule}: fetch "
      "the encoder again, or choose another --encoder."
    )

  def _checked(self, name, bound, types, kind):
    value = self.values.get(name, bound.default)
    if type(value) not in types or not bound.least <= value <= bound.most:
      rule = f"{kind} from {bound.least:g} to {bound.most:g}"
      raise self.wrong(name, value, rule)
    return value


def bert_like(said: Stated, **more: Any) -> Architecture:
  """Returns what an encoder is whose config has BERT's words.

  Args:
    said: its config.
    **more: that other words say.

  Raises:
    UserError: where it says what cannot be computed.
  """
  said.only(ONLY)
  hidden = said.whole("hidden_size", SIZE)
  heads = said.whole("num_attention_heads", LAYERS)
  said.divides("num_attention_heads", heads, hidden)
  positions = said.whole("max_position_embeddings", POSITIONS)
  first = more.get("first_position", 0)
  if first >= positions:
    rule = f"more than {first}, the first position"
    raise said.wrong("max_position_embeddings", positions, rule)
  return Architecture(
    **{
      "words": said.whole("vocab_size", WORDS),
      "hidden": hidden,
      "layers": said.whole("num_hidden_layers", LAYERS),
      "heads": heads,
      "inner": said.whole("intermediate_size", INNER),
      "embedding": hidden,
      "positions": positions,
      "activation": said.one_of("hidden_act", ACTIVATIONS),
      "epsilon": said.real("layer_norm_eps", EPSILON),
      "deviation": said.real("initializer_range", DEVIATION),
      **more,
    }
  )


def read(directory: str) -> Stated | None:
  """Reads the config of a directory; None where its weights are another's.

  Raises:
    UserError: where it is damaged.
  """
  if not has(directory, CONFIG):
    return None
  if any(has(directory, name) for name in _BEFORE):
    return None
  path = os.path.join(directory, CONFIG)
  return Stated(values_at(path), path)


def values_at(path: str) -> dict[str, Any]:
  """Reads what a config says.

  Raises:
    UserError: where it cannot be read.
  """
  try:
    return read_json(path, dict)
  except Unreadable as error:
    raise UserError(
      f"{path} {error.why}: fetch the encoder again, or choose another "
      "--encoder."
    ) from error


def kind_of(stated: Stated, known: Collection[str]) -> str | None:
  """Returns the family by its `model_type`; None where nothing says it.

  Args:
    stated: of the config.
    known: the families that there are.

  Raises:
    UserError: where it is of a family that there is not, or says two.
  """
  kind = stated.values.get("model_type")
  classes = stated.values.get("architectures") or []
  if kind is not None and kind not in known:
    raise _other(stated, "model_type", kind, known)
  if not isinstance(classes, list):
    raise _other(stated, "architectures", classes, known)
  matches = [_CLASS.fullmatch(str(name)) for name in classes]
  families = {_plain(match[1]) for match in matches if match}
  by_class = {_plain(name): name for name in known}
  if families - by_class.keys():
    raise _other(stated, "architectures", classes, known)
  said = {by_class[family] for family in families} | {kind} - {None}
  if len(said) > 1:
    raise UserError(
      f"`architectures` in {stated.path} is {quoted(classes)}, and "
      f"`model_type` {quoted(kind)}, which contradict each other: mend the "
      "wrong one, or choose another --encoder."
    )
  if "AutoModel" in (stated.values.get("auto_map") or ()):
    raise _other(stated, "auto_map", stated.values["auto_map"], known)
  return next(iter(said), None)


def _plain(name: str) -> str:
  return name.lower().replace("-", "")


def _other(
  stated: Stated, name: str, value: Any, known: Collection[str]
) -> UserError:
  return UserError(
    f"`{name}` in {stated.path} is {quoted(value)}: what can be read is "
    f"{', '.join(sorted(known))}: choose another --encoder."
  )
