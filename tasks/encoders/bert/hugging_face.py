"""BERT in Hugging Face's layout: imported from it, and exported to it."""

import json
import os

import numpy as np
import safetensors
import safetensors.numpy
import tensorflow as tf

from engine.errors import UserError
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder
from tasks.encoders.bert.weights import parts_of, write_garden
from tasks.model.contract import HuggingFace


def import_hugging_face(source: str, target: str) -> None:
  """Writes a Hugging Face BERT directory as a Model Garden one.

  Args:
    source: has `config.json` and `model.safetensors`.
    target: an empty directory.

  Raises:
    UserError: where a file or a weight is missing, or sizes differ.
  """
  path = os.path.join(source, "model.safetensors")
  try:
    found = safetensors.numpy.load_file(path)
  except (OSError, safetensors.SafetensorError) as error:
    raise UserError(
      f"The weights {path} cannot be read ({error}): fetch them again."
    ) from error
  values = {}
  for name, value in found.items():
    name = name.removeprefix("bert.")
    # Heads of other tasks, and a table of 0, 1, 2, ... of old versions.
    if not name.startswith(("embeddings.", "encoder.", "pooler.")):
      continue
    if name != "embeddings.position_ids":
      is_kernel = value.ndim == 2 and "_embeddings." not in name
      values[name] = (value.T if is_kernel else value).astype(np.float32)
  path = os.path.join(source, "config.json")
  BertConfig.read(path)
  with open(path) as file:
    config = json.load(file)
  write_garden(
    target,
    {**config, "model_type": "bert"},
    values,
    name_of=lambda path, ours, face, theirs: f"{face}.{theirs}",
    source=source,
  )


def exported(
  encoder: BertEncoder,
  readout: tuple[tf.Tensor, tf.Tensor],
  dropout: float,
  *,
  pad: int,
) -> HuggingFace:
  """Names the parts of encoder and head; see `EncoderFiles.hugging_face`."""
  tensors = {}
  for name, values in parts_of(encoder):
    for key, variable in values.items():
      value = variable.numpy()
      is_kernel = value.ndim == 2 and "_embeddings" not in name
      tensors[f"bert.{name}.{key}"] = value.T if is_kernel else value
  kernel, bias = readout
  tensors["classifier.weight"] = kernel.numpy().T
  tensors["classifier.bias"] = bias.numpy()
  config = {
    "architectures": ["BertForSequenceClassification"],
    **encoder.config.to_dict(),
    "hidden_dropout_prob": dropout,
    "attention_probs_dropout_prob": dropout,
    "pad_token_id": pad,
  }
  return HuggingFace(config, tensors)
