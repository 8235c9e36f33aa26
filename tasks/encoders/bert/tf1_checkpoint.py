"""TensorFlow 1 checkpoints of google-research/bert (arXiv 1810.04805)."""

import json
import os
import re

import numpy as np
import tensorflow as tf

from engine.errors import UserError
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.weights import write_garden

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # Each checkpoint of TF 2 has it.
_ENCODER = "bert/"
# What optimizers keep beside each weight: bert/.../kernel/adam_m.
_SLOT = re.compile(r"/(adam_[mv]|Adam(_1)?|lamb_[mv]|Momentum)$")


def is_tf1(checkpoint: str) -> bool:
  """Whether the checkpoint at a prefix was written by TensorFlow 1.

  Raises:
    UserError: where it cannot be read.
  """
  try:
    return not tf.compat.v1.train.NewCheckpointReader(checkpoint).has_tensor(
      _GRAPH
    )
  except (tf.errors.OpError, ValueError, RuntimeError) as error:
    raise _unreadable(checkpoint, error) from error


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
  config = os.path.join(source, "bert_config.json")
  BertConfig.read(config)
  with tf.io.gfile.GFile(config) as file:
    sizes = json.load(file)
  checkpoint = os.path.join(source, "bert_model.ckpt")
  try:
    reader = tf.compat.v1.train.NewCheckpointReader(checkpoint)
    values = {
      name: np.asarray(reader.get_tensor(name), np.float32)
      for name in reader.get_variable_to_shape_map()
      if name.startswith(_ENCODER) and not _SLOT.search(name)
    }
  except (tf.errors.OpError, IndexError, RuntimeError) as error:
    raise _unreadable(checkpoint, error) from error
  write_garden(target, sizes, values, name_of=_name, source=checkpoint)


def _name(path: str, ours: str, face: str, theirs: str) -> str:
  """Hugging Face took its names of parts from here, and we ours of values."""
  del path, theirs
  part = _ENCODER + face.replace("layer.", "layer_").replace(".", "/")
  return part if ours == "embeddings" else f"{part}/{ours}"


def _unreadable(checkpoint: str, error: Exception) -> UserError:
  reason = " ".join(str(error).split())[:160]
  return UserError(
    f"The checkpoint {checkpoint} cannot be read ({reason}): fetch the encoder "
    "again."
  )
