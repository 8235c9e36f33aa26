"""The weights of an encoder under Hugging Face's names.

A family lists its weights, one by one; what is stored is held against the list
before anything is built. Safetensors are read where they are: no copy is made.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from engine.errors import UserError, shortened
from tasks.encoders.sources import tensors
from tasks.model.contract import Encoder

# Values of a part: ours, Hugging Face's.
VALUES = {
  "table": (("embeddings", "weight"),),
  "dense": (("kernel", "weight"), ("bias", "bias")),
  "norm": (("gamma", "weight"), ("beta", "bias")),
}
# Norms as TensorFlow 1 named them; so are the first BERTs stored to this day.
_OLD = re.compile(r"(?<=LayerNorm\.)(gamma|beta)$")
_NEW = {"gamma": "weight", "beta": "bias"}
# Tables of 0, 1, 2, ... that old versions wrote, which are no weights.
BUFFERS = ("position_ids", "token_type_ids", "inv_freq")


def today(name: str) -> str:
  """Returns the name that a weight has today."""
  return _OLD.sub(lambda x: _NEW[x[0]], name)


class Weight(NamedTuple):
  """One variable, in our words and in Hugging Face's.

  Attributes:
    path: ours: `blocks.0.query.kernel`.
    name: theirs, without the prefix of the model.
    shape: ours; kernels are transposed there.
    optional: whether it may begin at random, as the head does.
  """

  path: str
  name: str
  shape: tuple[int, ...]
  optional: bool = False

  @property
  def is_kernel(self) -> bool:
    """Whether it is stored transposed."""
    return self.path.endswith(".kernel")

  def variable(self, encoder: Encoder) -> tf.Variable:
    """Returns that of an encoder."""
    return variable_at(encoder, self.path)

  def turned(self, value: np.ndarray) -> np.ndarray:
    """Returns a stored value as the variable has it, or the other way."""
    return value.T if self.is_kernel else value


def variable_at(encoder: Encoder, path: str) -> tf.Variable:
  """Returns the variable at a path of ours."""
  node: Any = encoder
  for step in path.split("."):
    if isinstance(node, tf.Variable):  # A table of the encoder's own.
      break
    node = node[int(step)] if step.isdigit() else getattr(node, step)
  return node


def values_of(
  kind: str, path: str, name: str, *shapes: tuple[int, ...], **more: Any
) -> Iterator[Weight]:
  """Yields the weights of a part; fewer shapes than values: it lacks the last.

  Args:
    kind: one of `VALUES`.
    path: ours, of the part.
    name: theirs.
    *shapes: of its values.
    **more: of each `Weight`.
  """
  for (ours, theirs), shape in zip(VALUES[kind], shapes, strict=False):
    yield Weight(f"{path}.{ours}", f"{name}.{theirs}", shape, **more)


class Stored:
  """The weights in some files, under their names without a prefix."""

  def __init__(self, source: str, prefix: str):
    """Looks at what the files hold, not at values.

    Args:
      source: a directory with safetensors.
      prefix: of the names of an encoder's weights, where a head is beside it.

    Raises:
      UserError: where there is none, or two have one name.
    """
    self._source = source
    self._paths = tensors.files_of(source)
    self._headers = tensors.headers(self._paths)
    self._names: dict[str, str] = {}
    for name in self._headers:
      bare = today(name.removeprefix(prefix))
      if bare in self._names:
        raise UserError(
          f"The weights in {source} have one name twice, with `{prefix}` "
          f"before it and without, `{shortened(bare, 80)}`: fetch the encoder "
          "again."
        )
      if bare.rsplit(".", 1)[-1] not in BUFFERS:
        self._names[bare] = name

  def __contains__(self, name: str) -> bool:
    return name in self._names

  @property
  def halves(self) -> bool:
    """Whether weights are of 16 bits."""
    return tensors.are_halves(self._paths)

  def check(self, weights: Iterable[Weight]) -> list[str]:
    """Holds names and shapes to those of an encoder.

    Returns:
      Names of weights that are of no part of the encoder: heads.

    Raises:
      UserError: naming the first that is missing, left over or of another size.
    """
    weights, rest, lacking = list(weights), dict(self._names), []
    for weight in weights:
      name = rest.pop(weight.name, None)
      if name is None:
        lacking.append(weight)
        if not weight.optional:
          raise self._missing(weight)
        continue
      shape = self._headers[name][1]
      expected = weight.shape[::-1] if weight.is_kernel else weight.shape
      if shape != expected:
        raise UserError(
          f"`{shortened(name, 80)}` in {self._source} has the shape {shape}, "
          f"but its config asks for {expected}: name an encoder whose files "
          "belong together."
        )
    heads = [weight for weight in weights if weight.optional]
    if lacking and len(lacking) < len(heads):
      raise self._missing(lacking[0])
    roots = {_root(weight.name) for weight in weights if not weight.optional}
    over = [rest[x] for x in rest if _root(x) in roots]
    if over:
      raise UserError(
        f"{self._source} holds {len(over)} weights that the encoder of its "
        f"config has not, the first is `{shortened(min(over), 80)}`."
      )
    return sorted(rest.values())

  def read(
    self, weights: Iterable[Weight]
  ) -> Iterator[tuple[Weight, np.ndarray]]:
    """Yields those weights that there are, as float32 in our shape.

    Raises:
      UserError: where a value is no finite number.
    """
    wanted = {self._names[w.name]: w for w in weights if w.name in self}
    for name, value in tensors.read(self._paths, wanted):
      array = tensors.as_weight(value, name, self._source)
      yield wanted[name], wanted[name].turned(array)

  def _missing(self, weight: Weight) -> UserError:
    return UserError(
      f"{self._source} has no weight `{weight.name}`: it is no whole encoder "
      "of the sizes in its config."
    )


def _root(name: str) -> str:
  """The part of an encoder that a name begins with."""
  return name.split(".", 1)[0]


def tensors_of(
  encoder: Encoder,
  weights: Iterable[Weight],
  prefix: str,
  heads: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """Names the values of encoder and head as a classifier of Hugging Face.

  Args:
    encoder: with trained weights.
    weights: of it.
    prefix: of the names of the encoder, but not of what is `optional`.
    heads: name -> value of the readout.
  """
  found = {}
  for weight in weights:
    name = weight.name if weight.optional else f"{prefix}{weight.name}"
    found[name] = weight.turned(weight.variable(encoder).numpy())
  return {**found, **heads}
