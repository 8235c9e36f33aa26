"""Writes the model of a run in the formats that others read."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

from engine.errors import UserError
from tasks.config import SentencePairConfig
from tasks.export import garden, hugging_face, serving
from tasks.export.graph_tokenizer import GraphTokenizer


def write(
  model: Any,
  form: str,
  directory: str,
  *,
  config: SentencePairConfig,
  classes: Sequence[str],
  vocabulary: str,
  lowercase: bool,
) -> str:
  """Writes a model in one of the formats of `launch.export`.

  Args:
    model: a `PairClassifier`, in float32.
    form: of the export.
    directory: does not exist yet.
    config: of the task.
    classes: their names; none for a regression.
    vocabulary: path of `vocab.txt`, with the config of the encoder beside it.
    lowercase: whether texts lose case and accents.

  Returns:
    What can be done with it, for a line.

  Raises:
    UserError: where the encoder cannot be written so.
  """
  if not hasattr(model.encoder, "config"):
    raise UserError(
      "This run trains a SavedModel as it is (--encoder=hub:...), whose parts "
      "are not known: only runs of BERT encoders can be exported."
    )
  assets, length = os.path.dirname(vocabulary), config.max_seq_length
  if form == "huggingface":
    os.mkdir(directory)
    hugging_face.write_hugging_face(
      model,
      directory,
      classes=classes,
      vocabulary=vocabulary,
      lowercase=lowercase,
      max_length=length,
      dropout=config.dropout,
    )
    return "transformers.AutoModelForSequenceClassification loads it"
  if form == "hub":
    serving.write_hub_encoder(
      garden.copy_of(model.encoder),
      directory,
      vocabulary=vocabulary,
      lowercase=lowercase,
    )
    return "hub.KerasLayer(..., trainable=True) loads it, --encoder too"
  kernel, bias = model.readout()
  served = serving.ServedClassifier(
    encoder=garden.copy_of(model.encoder),
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
    others = [labels, os.path.join(assets, "bert_config.json")]
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
