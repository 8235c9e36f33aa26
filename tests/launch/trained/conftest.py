"""Runs whose model says the same of all pairs."""

import dataclasses

import pytest
import tensorflow as tf
import tf_keras

from launch.command import configs
from launch.trained import predictions
from launch.trained.restored import Restored
from tasks.config import SentencePairConfig
from tasks.sentence_pair import SentencePairTask


@pytest.fixture
def build(monkeypatch, tmp_path_factory):
  """Makes runs, of some settings, whose model says the same of all pairs."""
  monkeypatch.setattr(predictions, "predict", _predict)
  assets = str(tmp_path_factory.mktemp("assets"))

  def build(**settings):
    task = SentencePairTask(
      SentencePairConfig(
        name="pairs",
        encoder="tiny",
        classes=("no", "yes"),
        max_seq_length=32,
        **settings,
      )
    )
    config = dataclasses.replace(configs.default_config(), task=task.config)
    return Restored(config, task, tf_keras.Model(), 0, assets)

  return build


def _predict(restored, source, batch_size):
  outputs = tf.zeros([len(source), 2])
  readings = restored.task.readings(outputs)
  return {name: predictions._on_host(x) for name, x in readings.items()}
