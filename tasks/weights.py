"""Pretrained weights: into Model Garden's checkpoint format, and out of it.

Every encoder is read from a checkpoint directory of Model Garden's layout
(`bert_config.json`, `bert_model.ckpt.*`, `vocab.txt`). Weights in other
formats are imported into that layout first.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator

import numpy as np
import safetensors
import safetensors.numpy
import tensorflow as tf

from engine.errors import UserError
from tasks.encoder import BertConfig, Encoder

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"

# Parts of a block, in Model Garden's order: kind, and the names that we, Model
# Garden and Hugging Face have for it.
_BLOCK = (
  ("dense", "query", "_attention_layer/_query_dense", "attention.self.query"),
  ("dense", "key", "_attention_layer/_key_dense", "attention.self.key"),
  ("dense", "value", "_attention_layer/_value_dense", "attention.self.value"),
  (
    "dense",
    "attention_output",
    "_attention_layer/_output_dense",
    "attention.output.dense",
  ),
  (
    "norm",
    "attention_norm",
    "_attention_layer_norm",
    "attention.output.LayerNorm",
  ),
  ("dense", "intermediate", "_intermediate_dense", "intermediate.dense"),
  ("dense", "output_", "_output_dense", "output.dense"),
  ("norm", "output_norm", "_output_layer_norm", "output.LayerNorm"),
)


def _parts(num_layers: int) -> Iterator[tuple[str, str, str, str]]:
  """Yields (kind, our path, Model Garden's key, Hugging Face's name)."""
  tables = ("word", "position", "type"), ("word", "position", "token_type")
  for i, (ours, theirs) in enumerate(zip(*tables, strict=True)):
    name = f"embeddings.{theirs}_embeddings"
    yield "table", ours, f"layer_with_weights-{i}", name
  norm = ("embedding_norm", "layer_with_weights-3", "embeddings.LayerNorm")
  yield "norm", *norm
  for i in range(num_layers):
    for kind, ours, garden, face in _BLOCK:
      yield (
        kind,
        f"blocks.{i}.{ours}",
        f"layer_with_weights-{i + 4}/{garden}",
        f"encoder.layer.{i}.{face}",
      )
  last = f"layer_with_weights-{num_layers + 4}"
  yield "dense", "pooler", last, "pooler.dense"


# Values of a part: ours (and Model Garden's), Hugging Face's.
_VALUES = {
  "table": (("embeddings", "weight"),),
  "dense": (("kernel", "weight"), ("bias", "bias")),
  "norm": (("gamma", "weight"), ("beta", "bias")),
}


def restore_encoder(encoder: Encoder, checkpoint: str) -> None:
  """Restores an encoder from a Model Garden checkpoint, all of it.

  Every variable gets a value and every value is used: the exact equivalent of
  `assert_consumed`.

  Raises:
    UserError: where the checkpoint is missing, damaged or of another size;
      names the first variable that differs.
  """
  try:
    reader = tf.train.load_checkpoint(checkpoint)
    # The root is `encoder` in new checkpoints and `model` in old ones.
    stored = {
      key.split("/", 1)[1].removesuffix(_SUFFIX): key
      for key in reader.get_variable_to_shape_map()
      if "/layer_with_weights-" in key and ".OPTIMIZER_SLOT" not in key
    }
    for kind, path, key, _ in _parts(encoder.config.num_hidden_layers):
      part = encoder
      for name in path.split("."):
        part = part[int(name)] if name.isdigit() else getattr(part, name)
      for value, _ in _VALUES[kind]:
        variable = part if kind == "table" else getattr(part, value)
        full = stored.pop(f"{key}/{value}", None)
        if full is None:
          raise UserError(
            f"The checkpoint {checkpoint} has no value for `{variable.name}`: "
            "it is of another encoder than bert_config.json says."
          )
        array = reader.get_tensor(full)
        # Model Garden splits the heads off; ours are merged.
        split = array.ndim > variable.shape.rank
        if array.size != np.prod(variable.shape) or (
          array.shape != variable.shape and not split
        ):
          raise UserError(
            f"`{variable.name}` has shape {tuple(variable.shape)}, but the "
            f"checkpoint {checkpoint} holds {array.shape}: its sizes differ "
            "from bert_config.json."
          )
        variable.assign(array.reshape(variable.shape))
  except (tf.errors.OpError, IndexError, RuntimeError) as error:
    reason = " ".join(str(error).split())[:160]
    raise UserError(
      f"The checkpoint {checkpoint} cannot be read ({reason}): fetch or import "
      "the encoder again."
    ) from error
  if stored:
    raise UserError(
      f"The checkpoint {checkpoint} holds {len(stored)} values that the "
      f"encoder of bert_config.json has not, the first is "
      f"{min(stored.values())}."
    )


def sha256_of(path: str) -> str:
  """Returns the digest of a file.

  Raises:
    UserError: where it cannot be read.
  """
  try:
    with open(path, "rb") as file:
      return hashlib.file_digest(file, "sha256").hexdigest()
  except OSError as error:
    raise UserError(
      f"{path} cannot be read ({error.strerror}): fetch the encoder again."
    ) from error


def import_hugging_face(source: str, target: str) -> None:
  """Writes a Hugging Face BERT directory as a Model Garden one.

  Args:
    source: has `config.json`, `model.safetensors` and `vocab.txt`.
    target: an empty directory.

  Raises:
    UserError: where a file or a weight is missing, or sizes differ.
  """
  # Imported here: only an import needs Model Garden's networks.
  from official.nlp.configs import encoders

  path = os.path.join(source, "model.safetensors")
  try:
    weights = safetensors.numpy.load_file(path)
  except (OSError, safetensors.SafetensorError) as error:
    raise UserError(
      f"The weights {path} cannot be read ({error}): fetch them again."
    ) from error
  weights = {name.removeprefix("bert."): v for name, v in weights.items()}
  config = BertConfig.read(os.path.join(source, "config.json"))
  garden = encoders.build_encoder(
    encoders.EncoderConfig(
      type="bert",
      bert=encoders.BertEncoderConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        max_position_embeddings=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
      ),
    )
  )
  # Model Garden lists its variables in the order of the parts.
  names = [
    (kind, f"{face}.{value}")
    for kind, _, _, face in _parts(config.num_hidden_layers)
    for _, value in _VALUES[kind]
  ]
  variables = garden.trainable_variables
  assert len(names) == len(variables)
  for (kind, name), variable in zip(names, variables, strict=True):
    if name not in weights:
      raise UserError(f"{source} has no weight `{name}`: it is no whole BERT.")
    value = weights[name].astype(np.float32)
    value = value.T if kind == "dense" and value.ndim == 2 else value
    if value.size != np.prod(variable.shape):
      raise UserError(
        f"`{name}` in {source} has shape {value.shape}, but config.json asks "
        f"for {tuple(variable.shape)}."
      )
    variable.assign(value.reshape(variable.shape))
  shutil.copy(os.path.join(source, "vocab.txt"), target)
  shutil.copy(
    os.path.join(source, "config.json"),
    os.path.join(target, "bert_config.json"),
  )
  tf.train.Checkpoint(encoder=garden).write(
    os.path.join(target, "bert_model.ckpt")
  )
