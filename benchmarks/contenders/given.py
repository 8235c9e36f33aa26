"""What all contenders are given: the same tokens, the same encoder."""

import dataclasses
import os
from collections.abc import Collection

import numpy as np

from benchmarks.contenders.plan import WIDTH
from engine.errors import UserError
from tasks.config import FILES, SentencePairConfig


@dataclasses.dataclass(frozen=True)
class Split:
  """Pairs and labels, the same for all; their reading is in nobody's time.

  Attributes:
    ids: int32 [tokens of all pairs], `[CLS] a [SEP] b [SEP]` after another.
    starts: int64 [pairs + 1], where each pair starts in `ids`.
    first: int32 [pairs], tokens of `[CLS] a [SEP]`.
    labels: int32 [pairs].
  """

  ids: np.ndarray
  starts: np.ndarray
  first: np.ndarray
  labels: np.ndarray

  @classmethod
  def read(cls, directory: str, name: str) -> "Split":
    """Reads it from a directory."""
    with np.load(_path(directory, name)) as stored:
      return cls(**stored)

  def write(self, directory: str, name: str) -> None:
    """Writes it into a directory."""
    np.savez(_path(directory, name), **vars(self))

  def padded(self) -> dict[str, np.ndarray]:
    """Pairs in rows of `WIDTH`: ids, mask and types, int32 [pairs, WIDTH]."""
    lengths, places = np.diff(self.starts)[:, None], np.arange(WIDTH)
    mask = (places < lengths).astype(np.int32)
    ids = np.zeros_like(mask)
    ids[mask > 0] = self.ids
    types = mask * (places >= self.first[:, None])
    return {"ids": ids, "mask": mask, "types": types.astype(np.int32)}


def _path(directory: str, split: str) -> str:
  return os.path.join(directory, f"{split}.npz")


def check(task: SentencePairConfig, contenders: Collection[str]) -> None:
  """Checks that all contenders can train a task's encoder on its data.

  Raises:
    UserError: where it is no named set of two classes, or the encoder has no
      weights to share, or none that Model Garden can load.
  """
  from tasks.data.datasets import answers_of
  from tasks.encoders import find as encoders

  if task.name == FILES or answers_of(task).outputs != 2:
    raise UserError(
      f"`task` is {task.name!r}, but the peers are given named sets of two "
      "classes: demo, mrpc, rte, ..."
    )
  encoder = encoders.find(task.encoder)
  if not encoder.pretrained:
    raise UserError(
      f"`encoder` is {task.encoder!r}, which has no weights to share: use demo "
      "or a directory."
    )
  of_garden = os.path.join(encoder.directory, "bert_config.json")
  asked = {"keras_fit", "model_garden"} & set(contenders)
  if asked and not os.path.exists(of_garden):
    raise UserError(
      f"`encoder` is {task.encoder!r}, which is no BERT in Model Garden's "
      "layout: leave keras_fit and model_garden out of --contenders."
    )


def write_splits(task: SentencePairConfig, directory: str) -> int:
  """Writes what all contenders train on and evaluate; returns its pairs."""
  from tasks.data.datasets import answers_of, read_split
  from tasks.encoders import find as encoders
  from tasks.tokens.tokenizer import PairTokenizer

  tokenizer = PairTokenizer(encoders.find(task.encoder).tokenizer)
  sizes = {}
  for name in ("train", "dev"):
    pairs = read_split(task, name, answers_of(task))
    encoded = tokenizer.encode(pairs.texts_a, pairs.texts_b, WIDTH)
    labels = np.array(pairs.labels, np.int32)
    split = Split(encoded.ids, encoded.starts, encoded.first, labels)
    split.write(directory, name)
    sizes[name] = len(labels)
  return sizes["train"]


def source_of(encoder: str) -> str:
  """Returns the Hugging Face directory of an encoder.

  Raises:
    UserError: where there is none.
  """
  from tasks.encoders import find as encoders

  source = encoders.find(encoder).source
  if not os.path.exists(os.path.join(source, "config.json")):
    raise UserError(
      f"`encoder` is {encoder!r}, which Hugging Face's library cannot read: "
      "use demo or a directory with config.json."
    )
  return source
