"""Writes the model of a run in the formats that others read."""

import functools
import os
import shutil
import tempfile

from engine.errors import UserError
from launch.trained.restored import Restored
from tasks.export import garden, hugging_face, serving
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
  task, model, assets = restored.task, restored.model, restored.assets
  if not hasattr(model.encoder, "config"):
    raise UserError(
      "This run trains a SavedModel as it is (--encoder=hub:...), whose parts "
      "are not known: only runs of BERT encoders can be exported."
    )
  length, tokenizer = restored.config.task.max_seq_length, task.tokenizer
  if form == "huggingface":
    os.mkdir(directory)
    hugging_face.write_hugging_face(
      model,
      directory,
      classes=task.classes,
      tokenizer=tokenizer,
      max_length=length,
      dropout=restored.config.task.dropout,
    )
    return "transformers.AutoModelForSequenceClassification loads it"
  with tempfile.TemporaryDirectory() as folder:
    files = tokenizer.write(folder)
    if form == "hub":
      serving.write_hub_encoder(
        garden.copy_of(model.encoder),
        directory,
        tokenizer=tokenizer,
        files=files,
      )
      return "hub.KerasLayer(..., trainable=True) loads it, --encoder too"
    labels = os.path.join(folder, "labels.txt")
    with open(labels, "w") as file:
      file.write("".join(f"{name}\n" for name in task.classes))
    files += [labels, os.path.join(assets, "bert_config.json")]
    kernel, bias = model.readout()
    serve = functools.partial(
      serving.ServedClassifier,
      encoder=garden.copy_of(model.encoder),
      kernel=kernel,
      bias=bias,
      classes=task.classes,
    )
    if form == "saved_model":
      single = not restored.config.task.text_b
      reader = GraphTokenizer(tokenizer, max_length=length, single=single)
      serving.write_saved_model(serve(tokenizer=reader), directory, files)
      texts = "text_a" if single else "text_a, text_b"
      return f"signatures serving_default (ids) and raw_text ({texts})"
    os.mkdir(directory)
    serving.write_tflite(
      serve(), os.path.join(directory, "model.tflite"), length
    )
    for path in files:
      shutil.copy(path, directory)
    return f"any number of encoded pairs in rows of {length} tokens"
