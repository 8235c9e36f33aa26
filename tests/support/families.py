"""Small random encoders of each family, as Transformers writes them.

`tests/testdata/families/` has of each its config, the names and shapes of its
weights, and what Transformers computes of it (`tests/support/original.py`).
Weights follow from their names, so that no file has them.
"""

import json
import os
import zlib

import numpy as np
import safetensors.numpy

from tasks.encoders import find as encoders
from tasks.wordpiece.spec import WordPiece
from tests.support.testing import ROOT

STORED = os.path.join(ROOT, "tests", "testdata", "families")
LENGTH = 64  # Tokens of a row.
MANY = 64  # Pairs of mixed lengths.
TWO_ENDS = {"cls": "<s>", "sep": "</s>", "pad": "<pad>", "unknown": "[UNK]"}

_SIZES = {
  "hidden_size": 16,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 24,
  "max_position_embeddings": 130,
}
# Class of the config -> what it is built of; and the tokenizer.
FAMILIES = {
  "distilbert": (
    "wordpiece",
    {
      "dim": 16,
      "n_layers": 2,
      "n_heads": 2,
      "hidden_dim": 24,
      "max_position_embeddings": 128,
      "activation": "relu",
    },
  ),
  "electra": ("wordpiece", {**_SIZES, "embedding_size": 8}),
  "roberta": ("bpe", {**_SIZES, "type_vocab_size": 1}),
  "xlm-roberta": (
    "unigram",
    {**_SIZES, "type_vocab_size": 1, "hidden_act": "gelu_new"},
  ),
  "camembert": ("unigram", {**_SIZES, "type_vocab_size": 1}),
  "mpnet": ("mpnet", {**_SIZES, "layer_norm_eps": 1e-5}),
  "modernbert": (
    "bpe_bert",
    {
      **_SIZES,
      "num_hidden_layers": 3,
      "local_attention": 8,
      "classifier_pooling": "mean",
    },
  ),
  "modernbert-cls": (
    "bpe_bert",
    {
      **_SIZES,
      "num_hidden_layers": 3,
      "local_attention": 8,
      "attention_bias": True,
      "mlp_bias": True,
      "norm_bias": True,
      "classifier_bias": True,
    },
  ),
}


def value_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
  """The value of a weight: it follows from its name."""
  drawn = np.random.RandomState(zlib.crc32(name.encode())).normal(size=shape)
  is_scale = len(shape) == 1 and name.endswith("weight")
  return (is_scale + drawn / 4).astype(np.float32)


def stored(name: str) -> dict[str, np.ndarray]:
  """What is known of a family's encoder."""
  with np.load(os.path.join(STORED, f"{name}.npz")) as file:
    return dict(file)


def texts_of_many() -> list[tuple[str, str]]:
  """Pairs of mixed lengths, of the demo's corpus and cut from it."""
  path = os.path.join(ROOT, "tasks", "data", "pairs.tsv")
  with open(path, encoding="utf-8") as file:
    rows = [line.rstrip("\n").split("\t") for line in file][1 : MANY + 1]
  pairs = [tuple([x for x in row if " " in x][:2]) for row in rows]
  return [
    (" ".join(a.split()[: 1 + i % 13]), b) for i, (a, b) in enumerate(pairs)
  ]


def write(name: str, path: str) -> str:
  """Writes the directory of a family's encoder; returns its path."""
  known = stored(name)
  os.makedirs(path, exist_ok=True)
  with open(os.path.join(path, "config.json"), "w") as file:
    file.write(str(known["config"]))
  shapes = json.loads(str(known["shapes"]))
  safetensors.numpy.save_file(
    {key: value_of(key, tuple(shape)) for key, shape in shapes.items()},
    os.path.join(path, "model.safetensors"),
  )
  write_tokenizer(FAMILIES[name][0], path)
  return path


def write_tokenizer(kind: str, path: str) -> None:
  """Writes a small tokenizer of some kind."""
  wordpiece = encoders.find("tiny").tokenizer
  if kind == "wordpiece":
    wordpiece.write(path)
  elif kind == "mpnet":
    names = {"[PAD]": "<pad>", "[CLS]": "<s>", "[SEP]": "</s>"}
    pieces = [names.get(piece, piece) for piece in wordpiece.pieces]
    WordPiece(
      (*pieces, "<mask>"), lowercase=True, ends=2, mask="<mask>", **TWO_ENDS
    ).write(path)
  else:
    with open(os.path.join(STORED, f"{kind}.json"), encoding="utf-8") as file:
      spelt = file.read()
    with open(os.path.join(path, "tokenizer.json"), "w") as file:
      file.write(spelt)
    cls, sep, pad = ("[CLS]", "[SEP]", "[PAD]")
    if kind != "bpe_bert":
      cls, sep, pad = "<s>", "</s>", "<pad>"
    with open(os.path.join(path, "tokenizer_config.json"), "w") as file:
      json.dump(
        {
          "tokenizer_class": "PreTrainedTokenizerFast",
          "cls_token": cls,
          "sep_token": sep,
          "pad_token": pad,
        },
        file,
      )
