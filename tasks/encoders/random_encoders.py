"""Encoders with random weights, of which only sizes and words are kept."""

import collections
import hashlib
import json
import os
import re

from tasks.encoders.cache import cached
from tasks.wordpiece.spec import WordPiece

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


def directory(name: str) -> str:
  """Writes one of them once: its sizes, and the words of the demo's corpus."""
  corpus = os.path.join(
    os.path.dirname(os.path.dirname(__file__)), "data", "pairs.tsv"
  )
  with open(corpus) as file:
    words = collections.Counter(re.findall(r"[a-z]+", file.read().lower()))
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
