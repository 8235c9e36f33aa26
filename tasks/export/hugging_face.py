"""A trained classifier as a directory of Hugging Face's Transformers."""

import json
import os
from collections.abc import Sequence

import numpy as np
import safetensors.numpy

from tasks.model.contract import HuggingFace
from tasks.wordpiece.tokenizer import Tokenizer


def write_hugging_face(
  parts: HuggingFace,
  directory: str,
  *,
  classes: Sequence[str],
  tokenizer: Tokenizer,
  max_length: int,
) -> None:
  """Writes what `AutoModelForSequenceClassification` and `AutoTokenizer` load.

  Args:
    parts: of encoder and head.
    directory: exists and is empty.
    classes: their names; none for a regression.
    tokenizer: of the texts.
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
  with open(os.path.join(directory, "config.json"), "w") as file:
    json.dump(config, file, indent=2)
  # "[SEP]" in a text is what somebody wrote, here and there.
  tokenizer.write(
    directory,
    model_max_length=max_length,
    split_special_tokens=True,
    **parts.tokenizer,
  )
