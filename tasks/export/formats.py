"""Writes the model of a run in the formats that others read."""

import functools
import os
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

from tasks.config import SentencePairConfig
from tasks.export import hugging_face, serving
from tasks.export.graph_tokenizer import GraphTokenizer
from tasks.model.contract import EncoderFiles
from tasks.wordpiece.spec import WordPiece
from tasks.wordpiece.tokenizer import Tokenizer


def write(
  model: Any,
  form: str,
  directory: str,
  *,
  files: EncoderFiles,
  config: SentencePairConfig,
  classes: Sequence[str],
  tokenizer: Tokenizer,
) -> str:
  """Writes a model in one of the formats of `launch.export`.

  Args:
    model: a `PairClassifier`, in float32.
    form: of the export.
    directory: does not exist yet.
    files: of the encoder, in the assets of the run.
    config: of the task.
    classes: their names; none for a regression.
    tokenizer: of its texts.

  Returns:
    What can be done with it, for a line.

  Raises:
    UserError: where the encoder cannot be written so.
  """
  length = config.max_seq_length
  if form == "huggingface":
    parts = files.hugging_face(model.encoder, model.readout(), config.dropout)
    os.mkdir(directory)
    hugging_face.write_hugging_face(
      parts,
      directory,
      classes=classes,
      tokenizer=tokenizer,
      max_length=length,
    )
    return "transformers.AutoModelForSequenceClassification loads it"
  encoder = files.dense(model.encoder)
  with tempfile.TemporaryDirectory() as folder:
    assets = tokenizer.write(folder)
    if form == "hub":
      serving.write_hub_encoder(
        encoder, directory, tokenizer=tokenizer, files=assets
      )
      return "hub.KerasLayer(..., trainable=True) loads it, --encoder too"
    labels = os.path.join(folder, "labels.txt")
    with open(labels, "w") as file:
      file.write("".join(f"{name}\n" for name in classes))
    assets += [labels, files.config_path]
    kernel, bias = model.readout()
    serve = functools.partial(
      serving.ServedClassifier,
      encoder=encoder,
      kernel=kernel,
      bias=bias,
      classes=classes,
    )
    if form == "saved_model":
      if not isinstance(tokenizer, WordPiece):
        serving.write_saved_model(serve(), directory, assets)
        return f"signature serving_default, ids only: {tokenizer.not_in_graph}"
      single = not config.text_b
      reader = GraphTokenizer(tokenizer, max_length=length, single=single)
      serving.write_saved_model(serve(tokenizer=reader), directory, assets)
      texts = "text_a" if single else "text_a, text_b"
      return f"signatures serving_default (ids) and raw_text ({texts})"
    os.mkdir(directory)
    serving.write_tflite(
      serve(), os.path.join(directory, "model.tflite"), length
    )
    for path in assets:
      shutil.copy(path, directory)
    return f"any number of encoded pairs in rows of {length} tokens"
