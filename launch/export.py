"""Writes a trained run for others to use: python -m launch.export --help."""

import os
import shutil
import tempfile
from typing import Any

from absl import flags

from engine.errors import UserError
from launch.flags import require, run_door

FORMATS = ("saved_model", "hub", "huggingface", "tflite")

flags.DEFINE_string("model_dir", None, "Directory of the run; needed.")
flags.DEFINE_string("export_dir", None, "Directory to write; needed.")
flags.DEFINE_enum(
  "format",
  "saved_model",
  FORMATS,
  "saved_model and tflite classify; hub is the encoder; or huggingface.",
)
flags.DEFINE_enum(
  "checkpoint", "newest", ["newest", "best"], "Whose weights to take."
)


def main() -> None:
  """Writes the directory, whole or not at all."""
  values = flags.FLAGS
  model_dir, target = require("model_dir"), require("export_dir").rstrip("/")
  if os.path.exists(target):
    raise UserError(
      f"`export_dir` {target} exists: name a new directory, or remove it."
    )
  parent = os.path.dirname(os.path.abspath(target))
  if not os.access(parent, os.W_OK):
    raise UserError(
      f"`export_dir` {target} cannot be written: its directory is missing or "
      "not yours to write."
    )
  # Imported behind the checks: TensorFlow takes seconds.
  from launch.restored import restore_run

  restored = restore_run(
    model_dir, best=values.checkpoint == "best", precision="float32"
  )
  part = tempfile.mkdtemp(prefix=".export-", dir=parent)
  try:
    written = os.path.join(part, "export")
    told = write(restored, values.format, written)
    os.chmod(written, 0o755)
    os.rename(written, target)
  finally:
    shutil.rmtree(part, ignore_errors=True)
  print(f"{values.format} of step {restored.step} in {target}: {told}")


def write(restored: Any, form: str, directory: str) -> str:
  """Writes a model in one of `FORMATS`.

  Args:
    restored: `launch.restored.Restored`, in float32.
    form: of the export.
    directory: does not exist yet.

  Returns:
    What can be done with it, for a line.

  Raises:
    UserError: where the encoder cannot be written so.
  """
  from tasks import garden, hugging_face, serving
  from tasks.graph_tokenizer import GraphTokenizer

  task, model, assets = restored.task, restored.model, restored.assets
  if not hasattr(model.encoder, "config"):
    raise UserError(
      "This run trains a SavedModel as it is (--encoder=hub:...), whose parts "
      "are not known: only runs of BERT encoders can be exported."
    )
  vocabulary = os.path.join(assets, "vocab.txt")
  length, lowercase = restored.config.task.max_seq_length, task.lowercase
  if form == "huggingface":
    os.mkdir(directory)
    hugging_face.write_hugging_face(
      model,
      directory,
      classes=task.classes,
      vocabulary=vocabulary,
      lowercase=lowercase,
      max_length=length,
      dropout=restored.config.task.dropout,
    )
    return "transformers.AutoModelForSequenceClassification loads it"
  encoder = garden.copy_of(model.encoder)
  if form == "hub":
    serving.write_hub_encoder(
      encoder, directory, vocabulary=vocabulary, lowercase=lowercase
    )
    return "hub.KerasLayer(..., trainable=True) loads it, --encoder too"
  labels = os.path.join(os.path.dirname(directory), "labels.txt")
  with open(labels, "w") as file:
    file.write("".join(f"{name}\n" for name in task.classes))
  served = serving.ServedClassifier(
    encoder=encoder,
    kernel=model.head.kernel,
    bias=model.head.bias,
    classes=task.classes,
    tokenizer=GraphTokenizer(
      vocabulary, lowercase=lowercase, max_length=length
    ),
  )
  others = [labels, os.path.join(assets, "bert_config.json")]
  if form == "tflite":
    os.mkdir(directory)
    serving.write_tflite(
      served, os.path.join(directory, "model.tflite"), length
    )
    for path in (*others, vocabulary):
      shutil.copy(path, directory)
    return f"any number of encoded pairs in rows of {length} tokens"
  serving.write_saved_model(served, directory, others)
  return "signatures serving_default (ids) and raw_text (text_a, text_b)"


if __name__ == "__main__":
  run_door(main, "Exports a trained sentence-pair classifier.")
