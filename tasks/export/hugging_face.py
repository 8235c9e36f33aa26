"""A trained classifier as a directory of Hugging Face's Transformers."""

import json
import os
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import safetensors.numpy

from tasks.encoders.weights import parts_of


def write_hugging_face(
  model: Any,
  directory: str,
  *,
  classes: Sequence[str],
  vocabulary: str,
  lowercase: bool,
  max_length: int,
  dropout: float,
) -> None:
  """Writes what `AutoModelForSequenceClassification` and `AutoTokenizer` load.

  Args:
    model: a `PairClassifier` on our own encoder.
    directory: exists and is empty.
    classes: their names; none for a regression.
    vocabulary: path of `vocab.txt`.
    lowercase: whether texts lose case and accents.
    max_length: tokens of the longest pair.
    dropout: rate of training.
  """
  tensors = {}
  for name, values in parts_of(model.encoder):
    for key, variable in values.items():
      value = variable.numpy()
      is_kernel = value.ndim == 2 and "_embeddings" not in name
      tensors[f"bert.{name}.{key}"] = value.T if is_kernel else value
  kernel, bias = model.readout()
  tensors["classifier.weight"] = kernel.numpy().T
  tensors["classifier.bias"] = bias.numpy()
  safetensors.numpy.save_file(
    {name: np.ascontiguousarray(value) for name, value in tensors.items()},
    os.path.join(directory, "model.safetensors"),
    metadata={"format": "pt"},
  )
  config = {
    "architectures": ["BertForSequenceClassification"],
    **model.encoder.config.to_dict(),
    "hidden_dropout_prob": dropout,
    "attention_probs_dropout_prob": dropout,
    "pad_token_id": 0,
  }
  if classes:
    config |= {
      "problem_type": "single_label_classification",
      "id2label": {str(i): name for i, name in enumerate(classes)},
      "label2id": {name: i for i, name in enumerate(classes)},
    }
  else:
    config |= {"problem_type": "regression", "id2label": {"0": "score"}}
  tokenizer = {
    "tokenizer_class": "BertTokenizer",
    "do_lower_case": lowercase,
    "model_max_length": max_length,
  }
  for name, content in (
    ("config.json", config),
    ("tokenizer_config.json", tokenizer),
  ):
    with open(os.path.join(directory, name), "w") as file:
      json.dump(content, file, indent=2)
  shutil.copy(vocabulary, os.path.join(directory, "vocab.txt"))
