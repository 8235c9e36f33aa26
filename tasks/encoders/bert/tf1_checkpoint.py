"""TensorFlow 1 checkpoints of google-research/bert (arXiv 1810.04805)."""

import os
import re

import numpy as np

from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.parts import Value
from tasks.encoders.bert.weights import (
  CHECKPOINT,
  CONFIG,
  readable,
  write_garden,
)

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # Each checkpoint of TF 2 has it.
_ENCODER = "bert/"
_STEP = "global_step"
# What optimizers keep beside each weight: bert/.../kernel/adam_m.
_SLOT = re.compile(r"/(adam_[mv]|Adam(_1)?|lamb_[mv]|Momentum)$")


def is_tf1(checkpoint: str) -> bool:
  """Whether the checkpoint at a prefix was written by TensorFlow 1.

  Raises:
    UserError: where it cannot be read.
  """
  with readable(checkpoint) as reader:
    return not reader.has_tensor(_GRAPH)


def import_tf1(source: str, target: str) -> None:
  """Writes a directory of google-research/bert as a Model Garden one.

  The heads of pretraining, the state of the optimizer and its step are left
  out; of the encoder every value is used.

  Args:
    source: has `bert_config.json` and `bert_model.ckpt.*`.
    target: an empty directory.

  Raises:
    UserError: where a weight is missing or left over, or sizes differ.
  """
  config = BertConfig.read_stated(os.path.join(source, CONFIG), face=False)
  checkpoint = os.path.join(source, CHECKPOINT)
  with readable(checkpoint) as reader:
    values = {
      name: np.asarray(reader.get_tensor(name))
      for name in reader.get_variable_to_shape_map()
      if name.startswith(_ENCODER) and not _SLOT.search(name)
    }
  write_garden(target, config, values, name_of=_name, source=checkpoint)


def left_out(checkpoint: str) -> list[str]:
  """Returns the names of the weights that are of no part of the encoder."""
  with readable(checkpoint) as reader:
    names = reader.get_variable_to_shape_map()
  return sorted(
    name
    for name in names
    if not name.startswith(_ENCODER)
    and not _SLOT.search(name)
    and name != _STEP
  )


def _name(value: Value) -> str:
  """Hugging Face took its names of parts from here, and we ours of values."""
  face = value.face.rsplit(".", 1)[0].replace("layer.", "layer_")
  part = _ENCODER + face.replace(".", "/")
  return part if value.name == "embeddings" else f"{part}/{value.name}"
