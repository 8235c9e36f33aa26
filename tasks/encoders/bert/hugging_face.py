"""BERT in Hugging Face's layout: imported from it, and exported to it."""

import os
from collections.abc import Collection

import numpy as np
import tensorflow as tf

from engine.errors import UserError, quoted
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.bert.encoder import BertEncoder
from tasks.encoders.bert.parts import values_of
from tasks.encoders.bert.weights import write_garden
from tasks.encoders.face.weights import BUFFERS, today
from tasks.encoders.sources import tensors
from tasks.model.contract import HuggingFace

_CONFIG = "config.json"
_WORDS = "embeddings.word_embeddings.weight"
_POSITIONS = "embeddings.position_embeddings.weight"
_PARTS = ("embeddings.", "encoder.", "pooler.")


def import_hugging_face(source: str, target: str) -> None:
  """Writes a Hugging Face BERT directory as a Model Garden one.

  Args:
    source: has `config.json` and safetensors.
    target: an empty directory.

  Raises:
    UserError: where a file or a weight is missing, sizes differ, or it is of
      another encoder than BERT.
  """
  config = BertConfig.read_stated(os.path.join(source, _CONFIG), face=True)
  paths = tensors.files_of(source)
  names, _ = _names(source, tensors.names_in(paths))
  values = {}
  for name, value in tensors.read(paths, names):
    ours = names[name]
    is_kernel = value.ndim == 2 and "_embeddings." not in ours
    values[ours] = value.T if is_kernel else value
  positions = values.get(_POSITIONS)
  if positions is not None and _begins_at_two(positions):
    raise UserError(
      f"Row 1 of the positions in {source} is all 0: they begin at 2, as those "
      'of RoBERTa do; say "model_type": "roberta" in config.json if it is one.'
    )
  write_garden(
    target,
    config,
    values,
    name_of=lambda value: value.face,
    source=source,
  )


def left_out(source: str) -> list[str]:
  """Returns the names of the weights that are of no part of the encoder."""
  return _names(source, tensors.names_in(tensors.files_of(source)))[1]


def _names(
  source: str, names: Collection[str]
) -> tuple[dict[str, str], list[str]]:
  """Tells the weights of the encoder from others, by their names.

  Returns:
    The name of each of the encoder's -> the same as BertModel has it; and the
    others: heads of other tasks.

  Raises:
    UserError: where they are not named as BERT's are.
  """
  prefixes = sorted(x.removesuffix(_WORDS) for x in names if x.endswith(_WORDS))
  if prefixes not in (["bert."], [""], []):
    raise UserError(
      f"The weights in {source} are named {quoted(prefixes[0] + _WORDS)}, but "
      f"BERT's `bert.{_WORDS}`, once: choose another --encoder."
    )
  found, rest = {}, []
  for name in names:
    bare = name.removeprefix("bert.")
    if not bare.startswith(_PARTS) and (bare == name or not prefixes):
      rest.append(name)
    elif bare.rsplit(".", 1)[-1] not in BUFFERS:
      found[name] = today(bare)
  if len({*found.values()}) < len(found):
    raise UserError(
      f"The weights in {source} have one name twice, with `bert.` before it "
      "and without, or with `gamma` and `weight`: fetch the encoder again."
    )
  return found, sorted(rest)


def _begins_at_two(positions: np.ndarray) -> bool:
  """Whether place 1 is that of padding, which no gradient ever reaches."""
  rows = positions[1:3]
  return len(rows) == 2 and not rows[0].any() and bool(rows[1].any())


def exported(
  encoder: BertEncoder,
  readout: tuple[tf.Tensor, tf.Tensor],
  dropout: float,
  *,
  pad: int,
) -> HuggingFace:
  """Names the parts of encoder and head; see `EncoderFiles.hugging_face`."""
  named = {}
  for value in values_of(encoder.config):
    array = value.variable(encoder).numpy()
    named[f"bert.{value.face}"] = array.T if value.name == "kernel" else array
  kernel, bias = readout
  named["classifier.weight"] = kernel.numpy().T
  named["classifier.bias"] = bias.numpy()
  config = {
    "architectures": ["BertForSequenceClassification"],
    **encoder.config.to_dict(),
    "hidden_dropout_prob": dropout,
    "attention_probs_dropout_prob": dropout,
    "pad_token_id": pad,
  }
  return HuggingFace(config, named)
