"""A trained run as its directory has it: the task, and a model with weights."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras
from absl import logging

from engine.config import ExperimentConfig, TaskConfig
from engine.durability import assets
from engine.durability.restore import (
  checkpoint_of,
  restore_best,
  restore_newest,
)
from engine.durability.run_directory import RunDirectory
from engine.errors import UserError
from engine.measure.goal import goal_of
from engine.step.averages import build_averages
from engine.step.precision import precision_scope
from engine.task import Task
from launch.command import configs
from launch.command.checks import check_directory
from launch.trained.calibrated import temperature_of
from tasks import registry
from tasks.config import SentencePairConfig
from tasks.data.columns import GUESS
from tasks.sentence_pair import read_columns


@dataclasses.dataclass(frozen=True)
class Restored:
  """What a run has learned.

  Attributes:
    config: of the run.
    task: built from the run directory alone.
    model: with the weights of a checkpoint, or with their averages.
    step: of the checkpoint.
    assets: directory of what the task needs to be built again.
    directory: of the run.
    others: runs whose readings are averaged with this one's.
    symmetric: whether both orders of a pair are.
  """

  config: ExperimentConfig
  task: Task
  model: tf_keras.Model
  step: int
  assets: str
  directory: str = ""
  others: tuple["Restored", ...] = ()
  symmetric: bool = False

  @property
  def rows(self) -> TaskConfig:
    """How rows are read: columns that were guessed are those of training.

    Where runs have learned from others, they are guessed anew.
    """
    config = self.task.config
    if not isinstance(config, SentencePairConfig):
      return config
    known, *others = [read_columns(x.assets) for x in (self, *self.others)]
    guessed: dict[str, Any] = {
      role: column
      for role, column in known.items()
      if getattr(config, role) == GUESS and all(x == known for x in others)
    }
    return dataclasses.replace(config, **guessed)


def restore_run(
  model_dir: str,
  *,
  best: bool = False,
  precision: str | None = None,
  moved: Mapping[str, Any] | None = None,
  task_name: str = "",
  calibrated: bool = False,
) -> Restored:
  """Restores the model of a run.

  Args:
    model_dir: directory of the run.
    best: whether to take the best evaluation's weights, not the newest.
    precision: of products; by default the run's.
    moved: settings of the task that say where its data is now.
    task_name: the task whose code may be imported, where that is not ours.
    calibrated: whether the run's temperature divides the logits.

  Raises:
    UserError: where there is no run, or it has no checkpoint.
  """
  check_directory(model_dir, "model_dir")
  directory = RunDirectory(model_dir)
  values = directory.read_config()
  if values is None:
    raise UserError(
      f"`model_dir` {model_dir} holds no run: name the directory that "
      "launch.train was given."
    )
  name = configs.task_name([values])
  registry.check_trusted(name, task_name, f"`model_dir` {model_dir}")
  config = configs.from_dict(configs.merge(values, {"task": moved or {}}))
  if isinstance(config.task, SentencePairConfig):
    # Who is asked sorts by length: then rows as wide as a batch needs are full.
    task_config = dataclasses.replace(config.task, batching="bucket")
    config = dataclasses.replace(config, task=task_config)
  listed = assets.check(directory)
  task = registry.task_class(config.task.name).from_assets(
    config.task, directory.assets
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
  if calibrated:
    if not hasattr(model, "cool"):
      raise UserError(
        f"`calibrated` is given, but {config.task.name} is a task of your own: "
        "leave it out."
      )
    model.cool(temperature_of(model_dir, int(step.numpy())))
  if not listed:
    logging.warning(
      "%s was written by an older version, which kept no digests: that nobody "
      "has changed them is not checked.",
      directory.assets,
    )
  return Restored(
    config, task, model, int(step.numpy()), directory.assets, model_dir
  )
