"""Classification of sentence pairs with a BERT encoder."""

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from engine.config import check
from engine.errors import UserError
from engine.randomness import Stream
from engine.source import Source
from engine.task import Task
from tasks import submission
from tasks.config import SentencePairConfig
from tasks.data.datasets import answers_of, read_split
from tasks.data.pairs import Pairs, parse_pair, parse_pairs
from tasks.data.pairs_on_disk import PairsOnDisk
from tasks.encoders import find as encoders
from tasks.encoders import weights
from tasks.encoders.hub_encoder import Facts, HubEncoder
from tasks.model.classifier import PairClassifier
from tasks.model.encoder import Encoder
from tasks.model.flops import Flops, training_flops
from tasks.tokens.pair_source import PairSource
from tasks.tokens.splits import Splits
from tasks.tokens.tokenizer import PairTokenizer

_CLASSES = "classes.json"
_INITIALIZER_RANGE = 0.02  # Of a head on an encoder without a config.


class SentencePairTask(Task):
  """Two sentences in, one of some classes out, or a score."""

  config_class = SentencePairConfig
  config: SentencePairConfig
  noun = "pair"

  def __init__(self, config: SentencePairConfig):
    """Finds encoder and vocabulary.

    Raises:
      UserError: where they are missing or do not fit the config.
    """
    super().__init__(config)
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
    self.goal = self.answers.goal
    self._tokenizer = PairTokenizer(self._files.vocabulary)
    self._splits = Splits(
      config,
      answers=self.answers,
      tokenizer=self._tokenizer,
      flops=self._flops,
    )
    check(
      longest is None or config.max_seq_length <= longest,
      "max_seq_length",
      config.max_seq_length,
      f"at most {longest}, the positions of the encoder",
    )
    pieces = len(self._tokenizer.vocabulary)
    if words is not None and pieces > words:
      raise UserError(
        f"{self._files.vocabulary} has {pieces} wordpieces, but the encoder "
        f"only {words}: they do not belong together."
      )

  @property
  def classes(self) -> tuple[str, ...]:
    """Names of the classes, in the order of the labels; none for a score."""
    return self.answers.classes

  @property
  def lowercase(self) -> bool:
    """Whether texts lose their case and accents."""
    return self._tokenizer.lowercase

  def build_model(self) -> tf_keras.Model:
    rate = self.config.dropout
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
    if self._splits.scores:
      model.locate_scores(*self._splits.scores)
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
    return self._splits.labelled(split)

  def pair_source(self, pairs: Pairs | PairsOnDisk) -> PairSource:
    """Lays out pairs whose labels need not be known."""
    return self._splits.unlabelled(pairs)

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
    self._files.copy_to(directory)
    with tf.io.gfile.GFile(os.path.join(directory, _CLASSES), "w") as file:
      file.write(json.dumps(self.classes))

  @classmethod
  def from_assets(
    cls, config: SentencePairConfig, directory: str
  ) -> "SentencePairTask":
    classes = read_classes(directory)
    return cls(dataclasses.replace(config, encoder=directory, classes=classes))

  def read_inputs(self, lines: Iterable[tuple[str, str]]) -> PairSource:
    return self.pair_source(parse_pairs(lines, single=self._single))

  def read_split(self, split: str) -> PairSource:
    return self.pair_source(read_split(self.config, split, self.answers))

  def readings(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    return self.answers.readings(outputs)

  def describe_output(
    self, reading: Mapping[str, np.ndarray], line: str
  ) -> dict[str, Any]:
    texts = parse_pair(line, "its line", single=self._single)
    named = zip(("text_a", "text_b"), texts, strict=False)
    return {**self.answers.describe(reading), **dict(named)}

  @property
  def submissions(self) -> Mapping[str, str]:
    return submission.files_of(self.config)

  def describe_split(
    self, split: str, source: Source, readings: Mapping[str, np.ndarray]
  ) -> Iterator[dict[str, str]]:
    ids = source.ids(np.arange(len(source)))
    return submission.rows_of(
      self.config, split, ids=ids, classes=self.classes, readings=readings
    )

  def export(self, model: tf_keras.Model, form: str, directory: str) -> str:
    # Imported here: only exports need Model Garden and TensorFlow Text.
    from tasks.export import formats

    return formats.write(
      model,
      form,
      directory,
      config=self.config,
      classes=self.classes,
      vocabulary=self._tokenizer.path,
      lowercase=self.lowercase,
    )

  @property
  def _single(self) -> bool:
    """Whether there is one sentence, not two."""
    return not self.config.text_b


def read_classes(directory: str) -> tuple[str, ...]:
  """Reads what `save_assets` wrote: names of the classes; () if it did not."""
  path = os.path.join(directory, _CLASSES)
  if not tf.io.gfile.exists(path):
    return ()
  with tf.io.gfile.GFile(path) as file:
    return tuple(json.load(file))
