"""What the battery asks of a family, and how tests look at an encoder."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from engine.run.experiment import Experiment
from engine.task import EXAMPLES, LABELS, WEIGHTS, columns
from tasks.config import SentencePairConfig
from tasks.model.contract import INPUTS
from tasks.model.stream import expanded
from tasks.sentence_pair import SentencePairTask
from tests.support.testing import (
  REFERENCE_PAIRS,
  pairs_of,
  strategy_of,
  tiny_config,
)


class Original(NamedTuple):
  """What the implementation that an encoder comes from says of dense rows.

  Attributes:
    values: of each of its variables, in any shape or transposed.
    gradients: of `target` by each of them; None where it depends on none.
    pooled: its pooled output, [rows, hidden].
    sequence: its sequence output, [rows, width, hidden], where we have one.
  """

  values: Sequence[np.ndarray]
  gradients: Sequence[np.ndarray | None]
  pooled: np.ndarray
  sequence: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
  """A family in the battery, or one of the layouts that it comes in.

  Attributes:
    name: of the family.
    make: writes a small encoder into an empty directory, with a vocabulary and
      with weights that are all different; returns what `--encoder` calls it.
    original: that name, and `INPUTS` -> what it computes originally.
    head: names of kernel and bias of the head in a Hugging Face export; None:
      the family cannot be exported.
  """

  name: str
  make: Callable[[str], str]
  original: Callable[[str, Mapping[str, np.ndarray]], Original]
  head: tuple[str, str] | None


class Batch(NamedTuple):
  """Pairs as the model takes them, as its encoder does, and as others do."""

  features: dict[str, np.ndarray]
  labels: np.ndarray
  weights: np.ndarray
  examples: np.ndarray
  layout: Any

  @property
  def tokens(self) -> dict[str, np.ndarray]:
    """What `Encoder.call` takes."""
    return {k: np.asarray(v) for k, v in expanded(self.features).items()}

  @property
  def dense(self) -> dict[str, np.ndarray]:
    """`INPUTS`, [rows, width]; of a batch in one share, one pair a row."""
    tokens = self.tokens
    rows, segments = tokens["rows"][0], tokens["segments"][0]
    mask = (segments > 0).astype(np.int32)
    words, types = (
      tokens[name][0][rows] * mask for name in ("word_ids", "type_ids")
    )
    return dict(zip(INPUTS, (words, mask, types), strict=True))


def task_of(encoder: Any, **settings: Any) -> SentencePairTask:
  """The task on an encoder, one pair a row if nothing else is said."""
  settings = {"batching": "pad", "max_seq_length": 64, **settings}
  return SentencePairTask(SentencePairConfig(encoder=str(encoder), **settings))


def initialized(task: SentencePairTask, seed: int = 0) -> Any:
  """A model with first weights."""
  model = task.build_model()
  task.initialize(model, seed)
  return model


def batch_of(
  task: SentencePairTask, texts=REFERENCE_PAIRS, *, shares: int = 1
) -> Batch:
  """All of some pairs in one batch."""
  source, indices = task.pair_source(pairs_of(texts)), np.arange(len(texts))
  layout = source.layout(indices, batch_size=len(texts), shares=shares)
  batch = source.batch(indices, layout)
  return Batch(*columns(batch, (LABELS, WEIGHTS, EXAMPLES)), layout)


def train(
  directory: Any,
  encoder: str,
  *,
  mode: str = "train",
  batching: str = "pad",
  replicas: int = 1,
) -> dict[str, Any]:
  """A short run; returns what it reports."""
  config = tiny_config(
    encoder=encoder,
    batching=batching,
    max_seq_length=64,
    train={"train_steps": 6, "global_batch_size": 8},
    runtime={"steps_per_loop": 2},
  )
  return Experiment(
    config=config,
    task=SentencePairTask(config.task),
    model_dir=str(directory),
    strategy=strategy_of(replicas),
  ).run(mode)


def target(pooled: tf.Tensor) -> tf.Tensor:
  """A number that depends on each element of the pooled output."""
  return tf.reduce_sum(pooled * tf.cos(tf.range(float(pooled.shape[-1]))))
