"""Writes the model of a run in the formats that others read."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

from tasks.config import SentencePairConfig
from tasks.export import hugging_face, serving
from tasks.export.graph_tokenizer import GraphTokenizer
from tasks.model.contract import EncoderFiles


def write(
  model: Any,
  form: str,
  directory: str,
  *,
  files: EncoderFiles,
  config: SentencePairConfig,
  classes: Sequence[str],
  lowercase: bool,
) -> str:
  """Writes a model in one of the formats of `launch.export`.

  Args:
    model: a `PairClassifier`, in float32.
    form: of the export.
    directory: does not exist yet.
    files: of the encoder, in the assets of the run.
    config: of the task.
    classes: their names; none for a regression.
    lowercase: whether texts lose case and accents.

  Returns:
    What can be done with it, for a line.

  Raises:
    UserError: where the encoder cannot be written so.
  """
  length, vocabulary = config.max_seq_length, files.vocabulary
  if form == "huggingface":
    parts = files.hugging_face(model.encoder, model.readout(), config.dropout)
    os.mkdir(directory)
    hugging_face.write_hugging_face(
      parts,
      directory,
      classes=classes,
      vocabulary=vocabulary,
      lowercase=lowercase,
      max_length=length,
    )
    return "transformers.AutoModelForSequenceClassification loads it"
  encoder = files.dense(model.encoder)
  if form == "hub":
    serving.write_hub_encoder(
      encoder, directory, vocabulary=vocabulary, lowercase=lowercase
    )
    return "hub.KerasLayer(..., trainable=True) loads it, --encoder too"
  kernel, bias = model.readout()
  served = serving.ServedClassifier(
    encoder=encoder,
    kernel=kernel,
    bias=bias,
    classes=classes,
    tokenizer=GraphTokenizer(
      vocabulary,
      lowercase=lowercase,
      max_length=length,
      single=not config.text_b,
    ),
  )
  with tempfile.TemporaryDirectory() as folder:
    labels = os.path.join(folder, "labels.txt")
    with open(labels, "w") as file:
      file.write("".join(f"{name}\n" for name in classes))
    others = [labels, files.config_path]
    if form == "saved_model":
      serving.write_saved_model(served, directory, others)
      texts = "text_a" if served.tokenizer.single else "text_a, text_b"
      return f"signatures serving_default (ids) and raw_text ({texts})"
    os.mkdir(directory)
    serving.write_tflite(
      served, os.path.join(directory, "model.tflite"), length
    )
    for path in (*others, vocabulary):
      shutil.copy(path, directory)
    return f"any number of encoded pairs in rows of {length} tokens"
