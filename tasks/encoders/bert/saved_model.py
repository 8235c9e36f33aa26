"""The BERT of a SavedModel, imported."""

import dataclasses
import os
import re

import numpy as np
import tensorflow as tf

from engine.errors import UserError, shortened
from engine.files import write_json
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder
from tasks.encoders.bert.parts import Value
from tasks.encoders.bert.weights import (
  CHECKPOINT,
  CONFIG,
  restore_encoder,
  write_garden,
)
from tasks.encoders.sources.saved_models import load, write_tokenizer
from tasks.encoders.sources.tensors import as_weight

_WORDS = "word_embeddings/embeddings"
_CLOSE = 1e-3  # Outputs of float32 implementations differ by less.

# Names of our parts in a block of Model Garden's.
_BLOCK = {
  "query": "self_attention/query",
  "key": "self_attention/key",
  "value": "self_attention/value",
  "attention_output": "self_attention/attention_output",
  "attention_norm": "self_attention_layer_norm",
  "intermediate": "intermediate",
  "output_": "output",
  "output_norm": "output_layer_norm",
}
_OTHERS = {
  "word": "word_embeddings",
  "position": "position_embedding",
  "type": "type_embeddings",
  "embedding_norm": "embeddings/layer_norm",
  "pooler": "pooler_transform",
}


def import_saved_model(path: str, target: str) -> None:
  """Writes the BERT of a SavedModel as a Model Garden directory.

  Sizes are read from its variables: kernels of attention are [hidden, heads,
  size]. What was written is run beside the SavedModel, so what only looks like
  a BERT is refused; that also tells which GELU it computes.

  Args:
    path: of the SavedModel.
    target: an empty directory.

  Raises:
    UserError: where it is no BERT whose variables we know.
  """
  model = load(path)
  values = {v.name.split(":")[0]: v for v in getattr(model, "variables", ())}
  root = next(
    (n.removesuffix(_WORDS) for n in values if n.endswith(_WORDS)), None
  )
  if root is None:
    raise _no_bert(path, "it has no variable word_embeddings/embeddings")
  values = {
    name.removeprefix(root): as_weight(variable.numpy(), name, path)
    for name, variable in values.items()
    if variable.trainable and "cls/" not in name
  }
  try:
    config = _config_of(path, values)
    write_garden(target, config, values, name_of=_name, source=path)
  except UserError as error:
    raise _no_bert(path, str(error).rstrip(".")) from error
  probe = _probe(config)
  try:
    expected = model(probe, training=False)["sequence_output"].numpy()
  except (KeyError, TypeError, ValueError, tf.errors.OpError) as error:
    raise _no_bert(path, "it is not called as an encoder is") from error
  apart = {}
  for act in ("gelu_new", "gelu"):
    encoder = BertEncoder(
      dataclasses.replace(config, hidden_act=act), dropout=0.0
    )
    restore_encoder(encoder, os.path.join(target, CHECKPOINT))
    apart[act] = np.abs(_sequence(encoder, probe) - expected).max()
  act = min(apart, key=lambda act: apart[act])
  if not apart[act] < _CLOSE:
    raise _no_bert(path, f"its outputs are {apart[act]:.2g} from a BERT's")
  config = dataclasses.replace(config, hidden_act=act)
  write_json(os.path.join(target, CONFIG), config.to_dict())
  write_tokenizer(path, model, target)


def _config_of(path: str, values: dict[str, np.ndarray]) -> BertConfig:
  """Reads the sizes of a BERT off the shapes of its variables."""
  layers = [re.match(r"transformer/layer_(\d+)/", name) for name in values]
  first = "transformer/layer_0/"
  try:
    _, heads, _ = values[first + "self_attention/query/kernel"].shape
    words, hidden = values[_WORDS].shape
    return BertConfig(
      vocab_size=words,
      hidden_size=hidden,
      num_hidden_layers=1 + max(int(m[1]) for m in layers if m),
      num_attention_heads=heads,
      intermediate_size=values[first + "intermediate/kernel"].shape[1],
      max_position_embeddings=len(values["position_embedding/embeddings"]),
      type_vocab_size=len(values["type_embeddings/embeddings"]),
      hidden_act="gelu_new",
    )
  except UserError:  # A ValueError too.
    raise
  except (KeyError, ValueError, IndexError, TypeError) as error:
    raise _no_bert(path, f"of its variables {error} is not as there") from error


def _name(value: Value) -> str:
  if value.part in _OTHERS:
    return f"{_OTHERS[value.part]}/{value.name}"
  _, layer, part = value.part.split(".")
  return f"transformer/layer_{layer}/{_BLOCK[part]}/{value.name}"


def _probe(config: BertConfig) -> dict[str, tf.Tensor]:
  """One row of 8 tokens, of two types: dense inputs [1, 8]."""
  ids = np.arange(8) * 7919 % config.vocab_size
  types = (np.arange(8) > 4) * (config.type_vocab_size - 1)
  arrays = {"word_ids": ids, "mask": ids * 0 + 1, "type_ids": types}
  return {f"input_{k}": tf.constant([v], tf.int32) for k, v in arrays.items()}


def _sequence(encoder: BertEncoder, dense: dict[str, tf.Tensor]) -> np.ndarray:
  """The sequence output of our encoder for one full row: [1, width, hidden]."""
  place = tf.range(dense["input_mask"].shape[1])[None]
  features = {
    "word_ids": dense["input_word_ids"],
    "type_ids": dense["input_type_ids"],
    **dict.fromkeys(("positions", "names", "slots"), place),
    "rows": place[None],
    "segments": dense["input_mask"][None],
    "firsts": tf.zeros([1, 1], tf.int32),
  }
  return encoder(features)[0].numpy()


def _no_bert(path: str, reason: str) -> UserError:
  return UserError(
    f"The SavedModel {path} is no BERT that can be imported "
    f"({shortened(reason, 120)}): --encoder=hub:{path} runs it as it is."
  )
