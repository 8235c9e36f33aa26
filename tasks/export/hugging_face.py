"""A trained classifier as a directory of Hugging Face's Transformers."""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import safetensors.numpy

from tasks.encoders.weights import parts_of
from tasks.wordpiece.spec import WordPiece


def write_hugging_face(
  model: Any,
  directory: str,
  *,
  classes: Sequence[str],
  tokenizer: WordPiece,
  max_length: int,
  dropout: float,
) -> None:
  """Writes what `AutoModelForSequenceClassification` and `AutoTokenizer` load.

  Args:
    model: a `PairClassifier` on our own encoder.
    directory: exists and is empty.
    classes: their names; none for a regression.
    tokenizer: of the texts.
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
    "pad_token_id": tokenizer.vocabulary[tokenizer.pad],
  }
  if classes:
    config |= {
      "problem_type": "single_label_classification",
      "id2label": {str(i): name for i, name in enumerate(classes)},
      "label2id": {name: i for i, name in enumerate(classes)},
    }
  else:
    config |= {"problem_type": "regression", "id2label": {"0": "score"}}
  with open(os.path.join(directory, "config.json"), "w") as file:
    json.dump(config, file, indent=2)
  # "[SEP]" in a text is what somebody wrote, here and there.
  tokenizer.write(
    directory, model_max_length=max_length, split_special_tokens=True
  )
