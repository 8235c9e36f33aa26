"""The README's code runs."""

import os
import re

import numpy as np
import tensorflow as tf
import tf_keras

import engine.task
from engine.config import ExperimentConfig, OptimizerConfig, TrainConfig
from engine.run.experiment import Experiment
from tests.support.testing import ROOT, strategy_of


def test_the_task_in_15_lines_learns(tmp_path):
  with open(os.path.join(ROOT, "README.md")) as file:
    (code,) = re.findall(r"```python\n(.*?)```", file.read(), re.DOTALL)
  names = {"engine": engine, "np": np, "tf": tf, "tf_keras": tf_keras}
  exec(code, names)
  experiment = Experiment(
    config=ExperimentConfig(
      optimizer=OptimizerConfig(learning_rate=0.1),
      train=TrainConfig(epochs=5.0),
    ),
    task=names["Sign"](),
    model_dir=str(tmp_path),
    strategy=strategy_of(2),
  )
  result = experiment.run("train_and_eval")
  assert result["eval"]["examples_seen"] == 512
  assert result["eval"]["accuracy"] > 0.9
