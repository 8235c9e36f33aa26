"""A trained classifier as a directory of Hugging Face's Transformers."""

import json
import os
import shutil
from collections.abc import Sequence

import numpy as np
import safetensors.numpy

from tasks.model.contract import HuggingFace


def write_hugging_face(
  parts: HuggingFace,
  directory: str,
  *,
  classes: Sequence[str],
  vocabulary: str,
  lowercase: bool,
  max_length: int,
) -> None:
  """Writes what `AutoModelForSequenceClassification` and `AutoTokenizer` load.

  Args:
    parts: of encoder and head.
    directory: exists and is empty.
    classes: their names; none for a regression.
    vocabulary: path of the file of tokens, which keeps its name.
    lowercase: whether texts lose case and accents.
    max_length: tokens of the longest pair.
  """
  safetensors.numpy.save_file(
    {name: np.ascontiguousarray(x) for name, x in parts.tensors.items()},
    os.path.join(directory, "model.safetensors"),
    metadata={"format": "pt"},
  )
  config = dict(parts.config)
  if classes:
    config |= {
      "problem_type": "single_label_classification",
      "id2label": {str(i): name for i, name in enumerate(classes)},
      "label2id": {name: i for i, name in enumerate(classes)},
    }
  else:
    config |= {"problem_type": "regression", "id2label": {"0": "score"}}
  tokenizer = {
    "tokenizer_class": parts.tokenizer_class,
    "do_lower_case": lowercase,
    "model_max_length": max_length,
  }
  for name, content in (
    ("config.json", config),
    ("tokenizer_config.json", tokenizer),
  ):
    with open(os.path.join(directory, name), "w") as file:
      json.dump(content, file, indent=2)
  shutil.copy(vocabulary, directory)
