"""What a ModernBERT is, read from its config."""

import dataclasses
from typing import Any

from tasks.encoders.face import config
from tasks.encoders.face.config import Bound, Stated
from tasks.model.encoder import Sizes

_LOCAL, _GLOBAL = "sliding_attention", "full_attention"
_THETA = Bound(1, 1e9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModernBertShape(Sizes):
  """Sizes and choices of a ModernBERT.

  Attributes:
    thetas: of each block, base of the angles of its rotary positions.
    reaches: of each block, tokens to either side that it attends to; 0: all.
    biased: which products have biases.
    shifts: whether norms have shifts.
    mean: whether the pooler takes the mean of all tokens, not the first.
    pooler: activation of the pooler.
  """

  thetas: tuple[float, ...]
  reaches: tuple[int, ...]
  biased: tuple[str, ...]
  shifts: bool
  mean: bool
  pooler: str

  @classmethod
  def of(cls, said: Stated) -> "ModernBertShape":
    """Reads a config.

    Raises:
      UserError: where it says what cannot be computed.
    """
    hidden = said.whole("hidden_size", config.SIZE)
    heads = said.whole("num_attention_heads", config.LAYERS)
    said.divides("num_attention_heads", 2 * heads, hidden)
    layers = said.whole("num_hidden_layers", config.LAYERS)
    kinds = _kinds(said, layers)
    thetas = {kind: _theta(said, kind) for kind in (_LOCAL, _GLOBAL)}
    reach = said.whole("local_attention", Bound(2, 2**20, 128)) // 2
    biases = {
      "attention": said.flag("attention_bias"),
      "mlp": said.flag("mlp_bias"),
      "pooler": said.flag("classifier_bias"),
    }
    return cls(
      words=said.whole("vocab_size", config.WORDS),
      hidden=hidden,
      layers=layers,
      heads=heads,
      inner=said.whole("intermediate_size", config.INNER),
      positions=said.whole("max_position_embeddings", config.POSITIONS),
      thetas=tuple(thetas[kind] for kind in kinds),
      reaches=tuple(reach if kind == _LOCAL else 0 for kind in kinds),
      biased=tuple(name for name, has in biases.items() if has),
      shifts=said.flag("norm_bias"),
      mean=said.one_of("classifier_pooling", {"cls": False, "mean": True}),
      activation=said.one_of("hidden_activation", config.ACTIVATIONS),
      pooler=said.one_of("classifier_activation", config.ACTIVATIONS),
      epsilon=said.real("norm_eps", Bound(1e-30, 1, 1e-5)),
      deviation=said.real("initializer_range", config.DEVIATION),
    )


def _kinds(said: Stated, layers: int) -> list[str]:
  """Returns the kind of attention of each block."""
  kinds = said.values.get("layer_types")
  if kinds is None:
    every = said.whole("global_attn_every_n_layers", Bound(1, 2**10, 3))
    return [_LOCAL if i % every else _GLOBAL for i in range(layers)]
  if (
    not isinstance(kinds, list)
    or len(kinds) != layers
    or any(kind not in (_LOCAL, _GLOBAL) for kind in kinds)
  ):
    rule = f"{layers} of {_LOCAL} and {_GLOBAL}"
    raise said.wrong("layer_types", kinds, rule)
  return kinds


def _theta(said: Stated, kind: str) -> float:
  """Returns the base of the angles, as new configs or old ones spell it."""
  spelt: Any = said.values.get("rope_parameters")
  if isinstance(spelt, dict) and isinstance(spelt.get(kind), dict):
    part = Stated(spelt[kind], said.path)
    part.only({"rope_type": "default"})
    found = part.values.get("rope_theta")
    if found is not None:
      return part.real("rope_theta", _THETA)
  said.only({"rope_scaling": None})
  old, default = {
    _LOCAL: ("local_rope_theta", 1e4),
    _GLOBAL: ("global_rope_theta", 1.6e5),
  }[kind]
  return said.real(old, _THETA._replace(default=default))
