"""A trained run as its directory has it: the task, and a model with weights."""

import dataclasses
from typing import Any

import tensorflow as tf
import tf_keras

from engine.config import ExperimentConfig
from engine.durability.best import goal_of
from engine.durability.restore import (
  checkpoint_of,
  restore_best,
  restore_newest,
)
from engine.durability.run_directory import RunDirectory
from engine.errors import UserError
from engine.step.averages import build_averages
from engine.step.precision import precision_scope
from launch.command import configs
from tasks.sentence_pair import SentencePairTask, read_classes


@dataclasses.dataclass(frozen=True)
class Restored:
  """What a run has learned.

  Attributes:
    config: of the run.
    task: built from the run directory alone.
    model: with the weights of a checkpoint, or with their averages.
    step: of the checkpoint.
    assets: directory with the vocabulary and the config of the encoder.
  """

  config: ExperimentConfig
  task: SentencePairTask
  model: tf_keras.Model
  step: int
  assets: str


def config_of(model_dir: str) -> ExperimentConfig:
  """Returns the config of a run.

  Raises:
    UserError: where there is no run.
  """
  values = RunDirectory(model_dir).read_config()
  if values is None:
    raise UserError(
      f"`model_dir` {model_dir} holds no run: name the directory that "
      "launch.train was given."
    )
  return configs.from_dict(values)


def restore_run(
  model_dir: str, *, best: bool = False, precision: str | None = None
) -> Restored:
  """Restores the model of a run.

  Args:
    model_dir: directory of the run.
    best: whether to take the best evaluation's weights, not the newest.
    precision: of products; by default the run's.

  Raises:
    UserError: where there is no run, or it has no checkpoint.
  """
  directory, config = RunDirectory(model_dir), config_of(model_dir)
  task: Any = SentencePairTask(
    dataclasses.replace(
      config.task,
      encoder=directory.assets,
      classes=read_classes(directory.assets),
    )
  )
  with precision_scope(precision or config.train.precision):
    model = task.build_model()
  step = tf.Variable(0, dtype=tf.int64, trainable=False)
  averages = build_averages(
    model.trainable_variables, config.optimizer.average_decay
  )
  checkpoint = checkpoint_of(model, step, averages)
  if best:
    metric, sign = goal_of(config, task)
    restore_best(checkpoint, directory.best, metric=metric, sign=sign)
  else:
    restore_newest(checkpoint, directory.checkpoints)
  if averages:
    averages.exchange()
  return Restored(config, task, model, int(step.numpy()), directory.assets)
