"""Pretrained weights: into Model Garden's checkpoint format, and out of it.

Every encoder is read from a checkpoint directory of Model Garden's layout
(`bert_config.json`, `bert_model.ckpt.*`, `vocab.txt`). Weights in other
formats are imported into that layout first. What there is is held against the
config before anything is built or written.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from engine.errors import Unreadable, UserError, shortened, words_of
from engine.files import write_json
from engine.formats import size_of
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder
from tasks.encoders.bert.parts import POOLER, Value, values_of
from tasks.encoders.sources.tensors import as_weight
from tasks.model.layers import build_part

CONFIG, CHECKPOINT = "bert_config.json", "bert_model.ckpt"
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def restore_encoder(encoder: BertEncoder, checkpoint: str) -> bool:
  """Restores an encoder from a Model Garden checkpoint, all of it.

  An encoder that has no variables yet gets them first.

  Returns:
    Whether the checkpoint has a pooler; if not, that of the encoder stays.

  Raises:
    UserError: where the checkpoint is missing, damaged, of another size, or has
      a value that is no finite number; names the first that differs.
  """
  keys = stored_in(checkpoint, encoder.config)
  build_part(encoder, None)
  with readable(checkpoint) as reader:
    for value, key in keys.items():
      variable = value.variable(encoder)
      array = as_weight(reader.get_tensor(key), _named(value), checkpoint)
      variable.assign(array.reshape(variable.shape))
  return any(value.part == POOLER for value in keys)


def stored_in(checkpoint: str, config: BertConfig) -> dict[Value, str]:
  """Holds the names and shapes of a Model Garden checkpoint against a config.

  Every variable has a value and every value is used: the exact equivalent of
  `assert_consumed`. Only the pooler may be missing.

  Returns:
    The key of each value.

  Raises:
    UserError: naming the first that is missing, left over or of another size.
  """
  with readable(checkpoint) as reader:
    shapes = reader.get_variable_to_shape_map()
  # The root is `encoder` in new checkpoints and `model` in old ones.
  stored = {
    key.split("/", 1)[1].removesuffix(_SUFFIX): key
    for key in shapes
    if "/layer_with_weights-" in key and ".OPTIMIZER_SLOT" not in key
  }
  return _matched(
    {name: tuple(shapes[key]) for name, key in stored.items()},
    config,
    name_of=lambda value: f"{value.garden}/{value.name}",
    source=f"The checkpoint {checkpoint}",
    keys=stored,
  )


def _matched(
  shapes: Mapping[str, tuple[int, ...]],
  config: BertConfig,
  *,
  name_of: Callable[[Value], str],
  source: str,
  keys: Mapping[str, str],
) -> dict[Value, str]:
  """Finds each value of a config among what is stored: value -> its key.

  Args:
    shapes: name -> shape, of all that there is.
    config: what there must be.
    name_of: value -> its name there.
    source: for messages, where they come from.
    keys: name -> what is returned, and said, of it.
  """
  found, lacking, rest = {}, [], dict(shapes)
  for value in values_of(config):
    name = name_of(value)
    shape = rest.pop(name, None)
    if shape is None:
      lacking.append(value)
      if value.part != POOLER:
        break
    elif not value.fits(shape):
      raise UserError(
        f"{source} has `{keys[name]}` of shape {shape}, but its config asks "
        f"for {value.shape}: name an encoder whose files belong together."
      )
    else:
      found[value] = keys[name]
  if len(lacking) == 1 or (lacking and rest):  # Two are a whole pooler.
    raise UserError(
      f"{source} has no weight `{name_of(lacking[0])}`: it is no whole BERT of "
      "the sizes in its config."
    )
  if rest:
    raise UserError(
      f"{source} holds {len(rest)} values that the encoder of its config has "
      f"not, the first is `{shortened(min(keys[name] for name in rest), 80)}`."
    )
  return found


def write_garden(
  target: str,
  config: BertConfig,
  values: Mapping[str, np.ndarray],
  *,
  name_of: Callable[[Value], str],
  source: str,
) -> None:
  """Writes `bert_config.json` and `bert_model.ckpt` of Model Garden's layout.

  Args:
    target: an empty directory.
    config: becomes `bert_config.json`.
    values: name -> value of the encoder, kernels [inputs, outputs]; each must
      be used, and be of finite numbers.
    name_of: value -> its name in `values`.
    source: for messages, where they come from.

  Raises:
    UserError: naming the first that is missing, left over, of another size or
      no number.
  """
  keys = _matched(
    {name: array.shape for name, array in values.items()},
    config,
    name_of=name_of,
    source=source,
    keys={name: name for name in values},
  )
  root = tf.Module()
  for value, name in keys.items():
    node = root
    for part in value.garden.split("/"):
      if not hasattr(node, part):
        setattr(node, part, tf.Module())
      node = getattr(node, part)
    array = as_weight(values[name], name, source)
    setattr(node, value.name, tf.Variable(array.reshape(value.shape)))
  write_json(os.path.join(target, CONFIG), config.to_dict())
  tf.train.Checkpoint(encoder=root).write(os.path.join(target, CHECKPOINT))


@contextlib.contextmanager
def readable(checkpoint: str) -> Iterator[Any]:
  """Gives the reader of a checkpoint.

  Raises:
    UserError: where TensorFlow has anything to say against it.
  """
  try:
    paths = tf.io.gfile.glob(f"{checkpoint}.data-*")
    for path in (f"{checkpoint}.index", *paths):
      size_of(path)  # A device or a pipe has no end.
    yield tf.compat.v1.train.NewCheckpointReader(checkpoint)
  except Unreadable as error:
    raise UserError(
      f"{error.path} {error.why}: fetch or import the encoder again."
    ) from error
  except UserError:  # A ValueError too.
    raise
  except (tf.errors.OpError, ValueError, IndexError, RuntimeError) as error:
    raise UserError(
      f"The checkpoint {checkpoint} cannot be read ({words_of(error)}): fetch "
      "or import the encoder again."
    ) from error


def _named(value: Value) -> str:
  return f"{value.part}.{value.name}"
