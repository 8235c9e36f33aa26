"""Writes the model of a run in the formats that others read."""

import os
import shutil
import tempfile

from launch.trained.restored import Restored
from tasks.encoders import find as encoders
from tasks.export import hugging_face, serving
from tasks.export.graph_tokenizer import GraphTokenizer


def write(restored: Restored, form: str, directory: str) -> str:
  """Writes a model in one of the formats of `launch.export`.

  Args:
    restored: in float32.
    form: of the export.
    directory: does not exist yet.

  Returns:
    What can be done with it, for a line.

  Raises:
    UserError: where the encoder cannot be written so.
  """
  task, model = restored.task, restored.model
  files = encoders.find(restored.assets)
  vocabulary, dropout = files.vocabulary, restored.config.task.dropout
  length, lowercase = restored.config.task.max_seq_length, task.lowercase
  if form == "huggingface":
    parts = files.hugging_face(model.encoder, model.readout(), dropout)
    os.mkdir(directory)
    hugging_face.write_hugging_face(
      parts,
      directory,
      classes=task.classes,
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
    classes=task.classes,
    tokenizer=GraphTokenizer(
      vocabulary,
      lowercase=lowercase,
      max_length=length,
      single=not restored.config.task.text_b,
    ),
  )
  with tempfile.TemporaryDirectory() as folder:
    labels = os.path.join(folder, "labels.txt")
    with open(labels, "w") as file:
      file.write("".join(f"{name}\n" for name in task.classes))
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
