"""A trained classifier as a module that a server runs."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tasks.export.graph_tokenizer import GraphTokenizer
from tasks.model.contract import INPUTS
from tasks.wordpiece.tokenizer import Tokenizer

_DENSE = {
  name: tf.TensorSpec([None, None], tf.int32, name=name) for name in INPUTS
}
_TEXTS = ("text_a", "text_b")


class ServedClassifier(tf.Module):
  """An encoder, a head and a tokenizer: texts or ids in, readings out."""

  def __init__(
    self,
    *,
    encoder: Any,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    classes: Sequence[str],
    tokenizer: GraphTokenizer | None = None,
  ):
    """Initializes the module.

    Args:
      encoder: dense `INPUTS` in a dict -> dict with `pooled_output`.
      kernel: of the head, [hidden, outputs].
      bias: of the head, [outputs].
      classes: their names; none for a regression.
      tokenizer: for texts.
    """
    super().__init__()
    self.encoder = encoder
    self.kernel, self.bias = tf.Variable(kernel), tf.Variable(bias)
    self.classes = tf.constant(list(classes), tf.string)
    self.tokenizer = tokenizer

  def read(
    self, inputs: Mapping[str, tf.Tensor], named: bool
  ) -> dict[str, tf.Tensor]:
    """Computes the readings of encoded pairs.

    Args:
      inputs: int32 `INPUTS`, [pairs, tokens].
      named: whether labels are names.

    Returns:
      float32 `logits` and `probabilities` [pairs, classes] and `label` [pairs];
      for a regression the `score` [pairs].
    """
    pooled = self.encoder(dict(inputs))["pooled_output"]
    logits = tf.matmul(pooled, self.kernel) + self.bias
    if not self.classes.shape[0]:
      return {"score": logits[:, 0]}
    label = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return {
      "logits": logits,
      "probabilities": tf.nn.softmax(logits),
      "label": tf.gather(self.classes, label) if named else label,
    }

  @tf.function(input_signature=[_DENSE], autograph=False)
  def encoded(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Reads encoded pairs: any number, of any length."""
    return self.read(inputs, named=False)

  def raw_text(self) -> tf.types.experimental.ConcreteFunction:
    """Returns what reads pairs of sentences, or single ones."""
    assert self.tokenizer, "it is for texts"
    encode = self.tokenizer
    names = _TEXTS[:1] if encode.single else _TEXTS
    call = lambda texts: self.read(
      encode(texts["text_a"], texts.get("text_b")), named=True
    )
    return tf.function(call, autograph=False).get_concrete_function(
      {name: tf.TensorSpec([None], tf.string, name=name) for name in names}
    )

  def fixed(self, length: int) -> tf.types.experimental.ConcreteFunction:
    """Returns `encoded` for rows of one length."""
    rows = {
      name: tf.TensorSpec([None, length], tf.int32, name=name)
      for name in INPUTS
    }
    call = lambda inputs: self.read(inputs, named=False)
    return tf.function(call, autograph=False).get_concrete_function(rows)


def write_saved_model(
  served: ServedClassifier, directory: str, assets: Sequence[str]
) -> None:
  """Writes a SavedModel with the signature `serving_default`.

  Args:
    served: what is written; with a tokenizer there is `raw_text` too.
    directory: does not exist yet.
    assets: paths of files that travel with it.
  """
  served.assets = _assets(assets)
  signatures = {"serving_default": served.encoded}
  if served.tokenizer:
    signatures["raw_text"] = served.raw_text()
  tf.saved_model.save(served, directory, signatures=signatures)


def _assets(paths: Sequence[str]) -> list[tf.saved_model.Asset]:
  return [tf.saved_model.Asset(os.path.abspath(path)) for path in paths]


def write_tflite(served: ServedClassifier, path: str, length: int) -> None:
  """Writes the classifier of encoded pairs for LiteRT.

  Args:
    served: what is written; texts need ops that LiteRT has not.
    path: of the file.
    length: tokens of a row; the number of rows is free.
  """
  function = served.fixed(length)
  converter = tf.lite.TFLiteConverter.from_concrete_functions(
    [function], served
  )
  with open(path, "wb") as file:
    file.write(converter.convert())


def write_hub_encoder(
  encoder: Any, directory: str, *, tokenizer: Tokenizer, files: Sequence[str]
) -> None:
  """Writes an encoder for `hub.KerasLayer`, with the API of text encoders.

  As Model Garden's `export_tfhub_lib` writes it (tensorflow.org/hub,
  "Transformer encoders"), vocabulary and casing included.

  Args:
    encoder: of dense rows (`EncoderFiles.dense`).
    directory: does not exist yet.
    tokenizer: of its texts.
    files: of the tokenizer, that with its pieces first.
  """
  import tf_keras

  inputs = {
    name: tf_keras.Input([None], dtype=tf.int32, name=name) for name in INPUTS
  }
  outputs = dict(encoder(inputs))
  outputs["default"] = outputs["pooled_output"]
  model = tf_keras.Model(inputs, outputs)
  lowercase = tokenizer.facts().get("lowercase")
  if lowercase is None:  # Of another kind than loaders of `vocab_file` know.
    model.assets = _assets(files)
  else:
    model.vocab_file, *model.assets = _assets(files)
    model.do_lower_case = tf.Variable(lowercase, trainable=False)
  model.save(directory, include_optimizer=False, save_format="tf")
