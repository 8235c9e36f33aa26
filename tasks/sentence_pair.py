"""Classification of sentence pairs with a BERT encoder."""

import json
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging

from engine.config import check
from engine.errors import UserError
from engine.randomness import Stream
from engine.task import Source, Task
from tasks.config import FILES, SentencePairConfig
from tasks.data.copies import Copies
from tasks.data.datasets import answers_of, read_split, records_of
from tasks.data.pairs import Pairs
from tasks.data.pairs_on_disk import PairsOnDisk
from tasks.data.record_files import check_meta, digest_of_file, read_meta
from tasks.encoders import find as encoders
from tasks.encoders import weights
from tasks.encoders.hub_encoder import Facts, HubEncoder
from tasks.model.classifier import PairClassifier
from tasks.model.encoder import Encoder
from tasks.model.flops import Flops, training_flops
from tasks.tokens.on_demand import EncodedOnDemand
from tasks.tokens.pair_source import PairSource
from tasks.tokens.records import Records, read_records
from tasks.tokens.tokenizer import EncodedPairs, PairTokenizer
from tasks.wordpiece import stated

_CLASSES = "classes.json"
_INITIALIZER_RANGE = 0.02  # Of a head on an encoder without a config.


class SentencePairTask(Task):
  """Two sentences in, one of some classes out, or a score.

  Attributes:
    tokenizer: what it is.
  """

  config_class = SentencePairConfig

  def __init__(self, config: SentencePairConfig):
    """Finds encoder and vocabulary.

    Raises:
      UserError: where they are missing or do not fit the config.
    """
    self._config = config
    self._files = encoders.find(config.encoder)
    if self._files.saved_model:
      check(
        config.batching != "pack",
        "batching",
        config.batching,
        "bucket or pad for a hub: encoder, which takes one pair a row",
      )
      self._bert, facts = None, Facts.read(self._files.saved_model)
      longest, words = facts.positions, facts.words
      self._layers = facts.layers
    else:
      self._bert = self._files.config
      longest = self._bert.max_position_embeddings
      words = self._bert.vocab_size
      self._layers = self._bert.num_hidden_layers
    self.answers = answers_of(config)
    self._scores: tuple[float, float] | None = None
    self._copies: Copies | None = None
    self.goal = self.answers.goal
    self.tokenizer = self._files.tokenizer.with_casing(config.casing)
    for remark in self.tokenizer.remarks():
      logging.warning(remark)
    self._tokenizer = PairTokenizer(self.tokenizer)
    check(
      longest is None or config.max_seq_length <= longest,
      "max_seq_length",
      config.max_seq_length,
      f"at most {longest}, the positions of the encoder",
    )
    pieces = len(self.tokenizer.pieces)
    if words is not None and pieces > words:
      raise UserError(
        f"{self.tokenizer.source} has {pieces} wordpieces, but the encoder "
        f"only {words}: they do not belong together."
      )

  @property
  def classes(self) -> tuple[str, ...]:
    """Names of the classes, in the order of the labels; none for a score."""
    return self.answers.classes

  def build_model(self) -> tf_keras.Model:
    rate = self._config.dropout
    if self._bert is None:
      encoder = HubEncoder(self._files.saved_model, name="encoder")
    else:
      encoder = Encoder(self._bert, dropout=rate, name="encoder")
    model = PairClassifier(
      encoder,
      classes=self.answers.outputs,
      dropout=rate,
      scores=not self.classes,
    )
    model.build(None)
    return model

  def initialize(self, model: tf_keras.Model, seed: int) -> None:
    if self._scores:
      model.locate_scores(*self._scores)
    if self._bert is None:  # It has brought its weights.
      value = tf.random.stateless_truncated_normal(
        model.head.kernel.shape, [seed, 0], stddev=_INITIALIZER_RANGE
      )
      model.head.kernel.assign(value)
      return
    for i, variable in enumerate(model.trainable_variables):
      name = variable.name.rsplit("/", 1)[1]
      if name.startswith(("bias", "beta")):
        value = tf.zeros(variable.shape)
      elif name.startswith("gamma"):
        value = tf.ones(variable.shape)
      else:
        value = tf.random.stateless_truncated_normal(
          variable.shape, [seed, i], stddev=self._bert.initializer_range
        )
      variable.assign(value)
    if self._files.checkpoint:
      weights.restore_encoder(model.encoder, self._files.checkpoint)
    elif not self._files.random:
      raise UserError(
        f"{self._files.directory} has no bert_model.ckpt.index: name an "
        "encoder with weights by --encoder."
      )

  def source(self, split: str) -> Source:
    found, encoded = self._read(split)
    if split == "train":
      self._copies = Copies(found, encoded)
      if self._config.test_file:  # It will be asked some day.
        self._copies.tell("test", *self._read("test"))
    elif self._copies:
      self._copies.tell(split, found, encoded)
    labels, weights = found.labels, None
    if labels is None:
      raise UserError(
        f"The split {split!r} of {self._config.name} has no labels, or they "
        "are not public: choose another split."
      )
    self._look_at(split, np.asarray(labels))
    if split == "train":
      weights = self._weights(np.asarray(labels), found.weights)
    texts = getattr(found, "texts", None) if split != "train" else None
    ids = found.ids.tolist() if isinstance(found, Records) else found.ids
    return self._laid_out(encoded, labels, ids, weights, texts)

  def _read(self, split: str) -> tuple[Any, EncodedPairs | EncodedOnDemand]:
    """Returns the pairs of a split as its files have them, and encoded."""
    paths = records_of(self._config, split)
    if paths:
      recorded = self._recorded(paths)
      return recorded, recorded.encoded
    pairs = read_split(self._config, split, self.answers)
    return pairs, self._encoded(pairs)

  def _look_at(self, split: str, labels: np.ndarray) -> None:
    """Says how many pairs of files each class has; refuses a single class."""
    if not self.classes:
      if split == "train":
        # Equal scores have no distance: any one serves.
        self._scores = float(labels.mean()), float(labels.std()) or 1.0
      return
    counts = np.bincount(labels.astype(int), minlength=len(self.classes))
    if self._config.name == FILES:
      said = (f"{n:,} {x}" for n, x in zip(counts, self.classes, strict=True))
      logging.warning("%r has %s.", split, ", ".join(said))
    if np.count_nonzero(counts) < 2:
      only = self.classes[counts.argmax()]
      if split == "train":
        raise UserError(
          f"All pairs of 'train' are {only!r}: there is nothing to learn, name "
          "files or columns with two classes or more."
        )
      logging.warning(
        "All pairs of %r are %r: their accuracy says little.", split, only
      )

  def pair_source(self, pairs: Pairs) -> PairSource:
    """Lays out pairs whose labels need not be known."""
    return self._laid_out(self._encoded(pairs), pairs.labels, pairs.ids, None)

  def _recorded(self, paths: Sequence[str]) -> Records:
    """Reads what `launch.encode` wrote."""
    length, meta = self._config.max_seq_length, read_meta(paths)
    check_meta(
      meta,
      os.path.dirname(paths[0]),
      length=length,
      vocabulary=(
        self.tokenizer.digest(),
        digest_of_file(self.tokenizer.source),
      ),
      tokenizer=self.tokenizer.facts(),
      classes=self.classes,
    )
    found = read_records(
      paths,
      length=length,
      label_type=self.answers.dtype,
      counts=meta.get("records", {}),
      on_damaged=self._config.on_damaged_shard,
    )
    self.answers.check(found.labels, paths[0])
    return found

  def _encoded(
    self, pairs: Pairs | PairsOnDisk
  ) -> EncodedPairs | EncodedOnDemand:
    """Encodes pairs, or a sample of them; says how many were too long."""
    length = self._config.max_seq_length
    encode = lambda pairs: self._tokenizer.encode(
      pairs.texts_a, pairs.texts_b, length
    )
    if isinstance(pairs, PairsOnDisk):
      encoded = EncodedOnDemand(pairs, encode, length)
      looked_at = encoded.sampled
    else:
      encoded = encode(pairs)
      looked_at = len(encoded)
    if encoded.truncated:
      logging.warning(
        "%d of %d pairs are longer than %d tokens and %s cut.",
        encoded.truncated,
        looked_at,
        length,
        "were" if looked_at == len(encoded) else "like all such ones are",
      )
    return encoded

  def _weights(
    self, labels: np.ndarray, weights: Sequence[float] | None
  ) -> np.ndarray | None:
    """Returns what each pair weighs in training: its own times its class's."""
    given = self._config.class_weights
    if not given:
      return weights
    classes = len(self.classes)
    check(
      given == ("balanced",) or (classes and len(given) == classes),
      "class_weights",
      ",".join(given),
      f"a weight for each of the {classes} classes {list(self.classes)}",
    )
    if given == ("balanced",):
      counts = np.bincount(labels, minlength=classes)
      of_class = len(labels) / (classes * np.maximum(counts, 1))
    else:
      of_class = np.array([float(x) for x in given])
    return of_class[labels] * (1.0 if weights is None else np.array(weights))

  def _laid_out(
    self,
    encoded: EncodedPairs | EncodedOnDemand,
    labels: Any,
    ids: Any,
    weights: Any,
    texts: Callable[[int], str] | None = None,
  ) -> PairSource:
    words = lambda i: self._tokenizer.decode(encoded.pick(np.array([i])).ids)
    return PairSource(
      encoded,
      labels,
      ids,
      weights=weights,
      label_type=self.answers.dtype,
      tell=texts or words,
      batching=self._config.batching,
      width=self._config.max_seq_length,
      flops=self._flops,
    )

  def _flops(self, lengths: np.ndarray) -> Flops:
    """Operations on each pair; 0, which is not counted, for what is unknown."""
    if self._bert is None:
      return Flops(np.zeros(len(lengths)), np.zeros(len(lengths)))
    return training_flops(
      self._bert, lengths=lengths, classes=self.answers.outputs
    )

  def forward(
    self, model: tf_keras.Model, features: Any, random: Stream | None
  ) -> tf.Tensor:
    return model(features, random=random)

  def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    return self.answers.loss(labels, outputs)

  def metrics(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    return self.answers.metrics(labels, outputs)

  def layer_depth(self, variable_name: str) -> int:
    block = re.search(r"(?:^|/)layer_(\d+)/", variable_name)
    if block:
      return self._layers - int(block[1])
    return self._layers + 1 if "embedding" in variable_name else 0

  def save_assets(self, directory: str) -> None:
    stated.check_begun(directory, self.tokenizer)
    self._files.copy_to(directory)
    self.tokenizer.settled().write(directory)
    with tf.io.gfile.GFile(os.path.join(directory, _CLASSES), "w") as file:
      file.write(json.dumps(self.classes))


def read_classes(directory: str) -> tuple[str, ...]:
  """Reads what `save_assets` wrote: names of the classes; () if it did not."""
  path = os.path.join(directory, _CLASSES)
  if not tf.io.gfile.exists(path):
    return ()
  with tf.io.gfile.GFile(path) as file:
    return tuple(json.load(file))
