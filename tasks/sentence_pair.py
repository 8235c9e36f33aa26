"""Classification of sentence pairs with an encoder and a head."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging

from engine.errors import Missing, UserError, listed
from engine.files import write_json
from engine.formats import read_json
from engine.randomness import Stream
from engine.settings import check
from engine.source import Source
from engine.task import Task
from tasks import submission
from tasks.config import SentencePairConfig
from tasks.data.datasets import (
  answers_of,
  columns_of_training,
  read_split,
)
from tasks.data.pairs import Pairs, parse_pair, parse_pairs
from tasks.data.pairs_on_disk import PairsOnDisk
from tasks.encoders import find as encoders
from tasks.model import freezing
from tasks.model.classifier import PairClassifier
from tasks.model.flops import Flops
from tasks.tokens.pair_source import PairSource
from tasks.tokens.splits import Splits
from tasks.tokens.tokenizer import PairTokenizer
from tasks.wordpiece import stated

_CLASSES, _COLUMNS = "classes.json", "columns.json"


class SentencePairTask(Task):
  """Two sentences in, one of some classes out, or a score.

  Attributes:
    tokenizer: what it is.
  """

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
    check(
      self._files.packs or config.batching != "pack",
      "batching",
      config.batching,
      "bucket or pad for an encoder that takes one pair a row",
    )
    longest, words = self._files.positions, self._files.vocabulary_size
    self.answers = answers_of(config)
    self.goal = self.answers.goal
    self._frozen = (
      freezing.chosen(config.freeze, self._files.layers)
      if config.freeze
      else frozenset()
    )
    self.tokenizer = self._files.tokenizer.with_casing(config.casing)
    for remark in self.tokenizer.remarks():
      logging.warning(remark)
    self._words = PairTokenizer(self.tokenizer)
    self._splits = Splits(
      config,
      answers=self.answers,
      tokenizer=self._words,
      flops=self._flops,
    )
    check(
      longest is None or config.max_seq_length <= longest,
      "max_seq_length",
      config.max_seq_length,
      f"at most {longest}, the positions of the encoder",
    )
    if not self._single and self._files.types == 1:
      raise UserError(
        f"The encoder {self._files.source} does not tell two sentences apart "
        "(`type_vocab_size` is 1): give it single ones by --text_b=, or name "
        "another --encoder."
      )
    pieces = len(self.tokenizer.pieces)
    if words is not None and pieces > words:
      raise UserError(
        f"{self.tokenizer.source} has {pieces} pieces, but the encoder "
        f"only {words}: they do not belong together."
      )

  @property
  def classes(self) -> tuple[str, ...]:
    """Names of the classes, in the order of the labels; none for a score."""
    return self.answers.classes

  def tokenize(self, text: str) -> list[str]:
    """Returns the pieces of a text, without special ones."""
    return self._words.tokenize(text)

  def build_model(self) -> tf_keras.Model:
    rate = self.config.dropout
    model = PairClassifier(
      self._files.build(dropout=rate),
      classes=self.answers.outputs,
      dropout=rate,
      scores=not self.classes,
    )
    model.build(None)
    if self._frozen:
      model.encoder.freeze(self._frozen, self._files.layer_depth)
    return model

  def initialize(self, model: tf_keras.Model, seed: int) -> None:
    if self._splits.scores:
      model.locate_scores(*self._splits.scores)
    self._files.initialize(model.encoder, model.head, seed)

  def source(self, split: str) -> PairSource:
    return self._splits.labelled(split)

  def pair_source(self, pairs: Pairs | PairsOnDisk) -> PairSource:
    """Lays out pairs whose labels need not be known."""
    return self._splits.unlabelled(pairs)

  def _flops(self, lengths: np.ndarray) -> Flops:
    """Operations on each pair; 0, which is not counted, for what is unknown."""
    return self._files.flops(lengths, classes=self.answers.outputs)

  def forward(
    self, model: tf_keras.Model, features: Any, random: Stream | None
  ) -> tf.Tensor:
    return model(features, random=random)

  def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    return self.answers.loss(labels, outputs)

  def metrics(self, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    return self.answers.metrics(labels, outputs)

  def inherited(
    self, model: tf_keras.Model, assets: str
  ) -> Mapping[str, tf.Module]:
    if type(encoders.find(assets)) is not type(self._files):
      raise UserError(
        f"`init_from` has {assets}, of another family of encoders than "
        f"{self._files.source}: name the encoder that the run was begun with."
      )
    stated.check_begun(assets, self.tokenizer)
    parts = {"encoder": model.encoder, "head": model.head}
    if read_classes(assets) != self.classes:
      del parts["head"]
    return parts

  def layer_depth(self, variable_name: str) -> int:
    return self._files.layer_depth(variable_name)

  @property
  def irreproducible(self) -> str:
    if self._files.packs:
      return ""
    return f"the encoder {self._files.source} runs as it is"

  def check_assets(self, directory: str) -> None:
    stated.check_begun(directory, self.tokenizer)
    begun = read_classes(directory)
    if begun and begun != self.classes and not self.config.classes:
      raise UserError(
        f"`model_dir` was begun with the classes {listed(begun)}, but "
        f"`train_file` has {listed(self.classes)} now: name another directory, "
        "or bring the file back."
      )

  def save_assets(self, directory: str) -> None:
    self._files.copy_to(directory)
    self.tokenizer.settled().write(directory)
    write_json(os.path.join(directory, _CLASSES), self.classes)
    if columns := columns_of_training(self.config):
      write_json(os.path.join(directory, _COLUMNS), columns)

  @classmethod
  def from_assets(
    cls, config: SentencePairConfig, directory: str
  ) -> "SentencePairTask":
    classes = read_classes(directory)
    return cls(dataclasses.replace(config, encoder=directory, classes=classes))

  def read_inputs(self, lines: Iterable[tuple[str, str]]) -> PairSource:
    skips = self.config.skip_bad_lines
    return self.pair_source(
      parse_pairs([*lines], single=self._single, skips=skips)
    )

  def read_split(self, split: str) -> PairSource:
    return self.pair_source(read_split(self.config, split, None))

  def readings(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    return self.answers.readings(outputs)

  def describe_output(
    self, reading: Mapping[str, np.ndarray], line: str
  ) -> dict[str, Any]:
    named = zip(("text_a", "text_b"), self._texts_of(line), strict=False)
    return {**self.answers.describe(reading), **dict(named)}

  def _texts_of(self, line: str) -> tuple[str, ...]:
    """Returns the sentences of a line that was read."""
    parse = functools.partial(parse_pair, line, "its line", single=self._single)
    try:
      return parse(is_json=line.lstrip().startswith("{"))
    except UserError:  # A text begins with a brace.
      return parse()

  def is_cut(self, line: str) -> bool:
    """Whether a pair is longer than `max_seq_length` reads."""
    lengths = [len(self.tokenize(text)) for text in self._texts_of(line)]
    most = self.config.max_seq_length
    return self._words.lengths_read(lengths, most) != lengths

  @property
  def submissions(self) -> Mapping[str, str]:
    return submission.files_of(self.config)

  def describe_split(
    self, split: str, source: Source, readings: Mapping[str, np.ndarray]
  ) -> Iterator[dict[str, str]]:
    ids = source.ids(np.arange(len(source)))
    return submission.rows_of(
      self.config,
      split,
      ids=ids,
      classes=self.classes,
      readings=readings,
      unread=source.unread,
    )

  def export(self, model: tf_keras.Model, form: str, directory: str) -> str:
    # Imported here: only exports need Model Garden and TensorFlow Text.
    from tasks.export import formats

    return formats.write(
      model,
      form,
      directory,
      files=self._files,
      config=self.config,
      classes=self.classes,
      tokenizer=self.tokenizer,
    )

  @property
  def _single(self) -> bool:
    """Whether there is one sentence, not two."""
    return not self.config.text_b


def read_classes(directory: str) -> tuple[str, ...]:
  """Reads what `save_assets` wrote: names of the classes; () if it did not."""
  path = os.path.join(directory, _CLASSES)
  try:
    return tuple(read_json(path, [str]))
  except Missing:
    return ()


def read_columns(directory: str) -> dict[str, str]:
  """Reads what `save_assets` wrote: role -> column of training; {}: none."""
  path = os.path.join(directory, _COLUMNS)
  try:
    found = read_json(path, {"text_a?": str, "text_b?": str})
    return {role: found[role] for role in ("text_a", "text_b") if role in found}
  except Missing:
    return {}
