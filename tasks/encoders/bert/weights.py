"""Pretrained weights: into Model Garden's checkpoint format, and out of it.

Every encoder is read from a checkpoint directory of Model Garden's layout
(`bert_config.json`, `bert_model.ckpt.*`, `vocab.txt`). Weights in other
formats are imported into that layout first.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from engine.errors import UserError
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder
from tasks.model.layers import build_part

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"

# Parts of a block, in Model Garden's order: kind, and the names that we, Model
# Garden and Hugging Face have for it.
_BLOCK = (
  ("dense", "query", "_attention_layer/_query_dense", "attention.self.query"),
  ("dense", "key", "_attention_layer/_key_dense", "attention.self.key"),
  ("dense", "value", "_attention_layer/_value_dense", "attention.self.value"),
  (
    "dense",
    "attention_output",
    "_attention_layer/_output_dense",
    "attention.output.dense",
  ),
  (
    "norm",
    "attention_norm",
    "_attention_layer_norm",
    "attention.output.LayerNorm",
  ),
  ("dense", "intermediate", "_intermediate_dense", "intermediate.dense"),
  ("dense", "output_", "_output_dense", "output.dense"),
  ("norm", "output_norm", "_output_layer_norm", "output.LayerNorm"),
)


def _parts(num_layers: int) -> Iterator[tuple[str, str, str, str]]:
  """Yields (kind, our path, Model Garden's key, Hugging Face's name)."""
  tables = ("word", "position", "type"), ("word", "position", "token_type")
  for i, (ours, theirs) in enumerate(zip(*tables, strict=True)):
    name = f"embeddings.{theirs}_embeddings"
    yield "table", ours, f"layer_with_weights-{i}", name
  norm = ("embedding_norm", "layer_with_weights-3", "embeddings.LayerNorm")
  yield "norm", *norm
  for i in range(num_layers):
    for kind, ours, garden, face in _BLOCK:
      yield (
        kind,
        f"blocks.{i}.{ours}",
        f"layer_with_weights-{i + 4}/{garden}",
        f"encoder.layer.{i}.{face}",
      )
  last = f"layer_with_weights-{num_layers + 4}"
  yield "dense", "pooler", last, "pooler.dense"


# Values of a part: ours (and Model Garden's), Hugging Face's.
_VALUES = {
  "table": (("embeddings", "weight"),),
  "dense": (("kernel", "weight"), ("bias", "bias")),
  "norm": (("gamma", "weight"), ("beta", "bias")),
}


def parts_of(
  encoder: BertEncoder,
) -> Iterator[tuple[str, dict[str, tf.Variable]]]:
  """Yields the parts of an encoder in Model Garden's order.

  Yields:
    Hugging Face's name of a part, and its variables by Hugging Face's names.
  """
  for kind, path, _, face in _parts(encoder.config.num_hidden_layers):
    part = _part(encoder, path)
    yield (
      face,
      {
        theirs: part if kind == "table" else getattr(part, ours)
        for ours, theirs in _VALUES[kind]
      },
    )


def _part(encoder: BertEncoder, path: str) -> Any:
  """Returns the part at a path, such as `blocks.0.query`."""
  part: Any = encoder
  for name in path.split("."):
    part = part[int(name)] if name.isdigit() else getattr(part, name)
  return part


def restore_encoder(encoder: BertEncoder, checkpoint: str) -> None:
  """Restores an encoder from a Model Garden checkpoint, all of it.

  Every variable gets a value and every value is used: the exact equivalent of
  `assert_consumed`. An encoder that has no variables yet gets them first.

  Raises:
    UserError: where the checkpoint is missing, damaged or of another size;
      names the first variable that differs.
  """
  build_part(encoder, None)
  try:
    reader = tf.compat.v1.train.NewCheckpointReader(checkpoint)
    # The root is `encoder` in new checkpoints and `model` in old ones.
    stored = {
      key.split("/", 1)[1].removesuffix(_SUFFIX): key
      for key in reader.get_variable_to_shape_map()
      if "/layer_with_weights-" in key and ".OPTIMIZER_SLOT" not in key
    }
    for kind, path, key, _ in _parts(encoder.config.num_hidden_layers):
      part = _part(encoder, path)
      for value, _ in _VALUES[kind]:
        variable = part if kind == "table" else getattr(part, value)
        full = stored.pop(f"{key}/{value}", None)
        if full is None:
          raise UserError(
            f"The checkpoint {checkpoint} has no value for `{variable.name}`: "
            "it is of another encoder than bert_config.json says."
          )
        array = reader.get_tensor(full)
        # Model Garden splits the heads off; ours are merged.
        split = array.ndim > variable.shape.rank
        if array.size != np.prod(variable.shape) or (
          array.shape != variable.shape and not split
        ):
          raise UserError(
            f"`{variable.name}` has shape {tuple(variable.shape)}, but the "
            f"checkpoint {checkpoint} holds {array.shape}: its sizes differ "
            "from bert_config.json."
          )
        variable.assign(array.reshape(variable.shape))
  except (tf.errors.OpError, IndexError, RuntimeError) as error:
    reason = " ".join(str(error).split())[:160]
    raise UserError(
      f"The checkpoint {checkpoint} cannot be read ({reason}): fetch or import "
      "the encoder again."
    ) from error
  if stored:
    raise UserError(
      f"The checkpoint {checkpoint} holds {len(stored)} values that the "
      f"encoder of bert_config.json has not, the first is "
      f"{min(stored.values())}."
    )


def write_garden(
  target: str,
  config: Mapping[str, Any],
  values: Mapping[str, np.ndarray],
  *,
  name_of: Callable[[str, str, str, str], str],
  source: str,
) -> None:
  """Writes `bert_config.json` and `bert_model.ckpt` of Model Garden's layout.

  Args:
    target: an empty directory.
    config: becomes `bert_config.json`.
    values: name -> value of the encoder, kernels [inputs, outputs]; each must
      be used.
    name_of: (our path of a part, our name of its value, Hugging Face's names
      of both) -> the name in `values`.
    source: for messages, where they come from.

  Raises:
    UserError: naming the first that is missing, left over or of another size.
  """
  # Imported here: only an import needs Model Garden's networks.
  from official.nlp.configs import encoders

  sizes = BertConfig.from_dict(config)
  garden = encoders.build_encoder(sizes.to_garden())
  # Model Garden lists its variables in the order of the parts.
  names = [
    name_of(path, ours, face, theirs)
    for kind, path, _, face in _parts(sizes.num_hidden_layers)
    for ours, theirs in _VALUES[kind]
  ]
  variables = garden.trainable_variables
  assert len(names) == len(variables)
  for name, variable in zip(names, variables, strict=True):
    if name not in values:
      raise UserError(f"{source} has no weight `{name}`: it is no whole BERT.")
    value = values[name]
    # Model Garden splits the heads off.
    split = variable.shape.rank > value.ndim
    if value.size != np.prod(variable.shape) or (
      value.shape != variable.shape and not split
    ):
      raise UserError(
        f"`{name}` in {source} has shape {value.shape}, but its config asks "
        f"for {tuple(variable.shape)}."
      )
    variable.assign(value.reshape(variable.shape))
  if unused := sorted(set(values) - set(names)):
    raise UserError(
      f"{source} holds {len(unused)} values that the encoder of its config has "
      f"not, the first is `{unused[0]}`."
    )
  with open(os.path.join(target, "bert_config.json"), "w") as file:
    json.dump(dict(config), file, indent=2)
  tf.train.Checkpoint(encoder=garden).write(
    os.path.join(target, "bert_model.ckpt")
  )
