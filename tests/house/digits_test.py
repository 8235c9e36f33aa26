"""The example task: the engine knows no task, and no strategy changes it.

Two workers train it in tests/house/workers_test.py. On a TPU it was
never run.
"""

import json

import numpy as np
import pytest

from engine.loop.trainer import Trainer
from engine.run.experiment import Experiment
from launch.command import configs
from tasks import registry
from tests.engine.run.trainer_test import lines
from tests.support.doors import enter
from tests.support.testing import acting_at, strategy_of

TASK = "examples.digits:Digits"


def train(directory, replicas=1, **task):
  config = configs.build_config(
    [
      {
        "task": {"name": TASK, **task},
        "train": {"train_steps": 30},
        "runtime": {"steps_per_loop": 1, "quiet": True},
        "checkpoint": {"checkpoint_interval": 5},
      }
    ]
  )
  return Experiment(
    config=config,
    task=registry.build_task(config.task),
    model_dir=str(directory),
    strategy=strategy_of(replicas),
  ).run("train_and_eval")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
  directory = tmp_path_factory.mktemp("alone")
  return directory, train(directory)


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_train_as_one_device_does(alone, tmp_path, replicas):
  """With dropout: what is dropped is a function of the place in the batch."""
  result = train(tmp_path, replicas)
  assert (result["strategy"], result["replicas"]) == ("mirrored", replicas)
  losses = [
    [x["loss"] for x in lines(d, "train")] for d in (alone[0], tmp_path)
  ]
  assert len(losses[0]) == 30
  np.testing.assert_allclose(*losses, atol=1e-6, rtol=0)
  expected = alone[1]["eval"]
  assert result["eval"]["loss"] == pytest.approx(expected["loss"], abs=1e-6)
  assert result["eval"]["confusion"] == expected["confusion"]


def test_killed_and_resumed_it_has_the_same_bits(alone, tmp_path, monkeypatch):
  def kill():
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(Trainer, "train_loop_begin", acting_at(17, kill))
    with pytest.raises(KeyboardInterrupt):
      train(tmp_path)
  result = train(tmp_path)
  assert result["weights_sha256"] == alone[1]["weights_sha256"]
  assert result["eval"] == alone[1]["eval"]


def test_its_dropout_matters_in_training_alone(alone, tmp_path):
  result = train(tmp_path, dropout=0.0)
  assert result["weights_sha256"] != alone[1]["weights_sha256"]


def test_the_door_trains_it_on_two_replicas(tmp_path):
  model_dir = tmp_path / "m"
  command = (
    "launch.train",
    f"--task={TASK}",
    "--strategy=mirrored",
    "--num_virtual_devices=2",
    "--epochs=4",
    f"--model_dir={model_dir}",
  )
  ended = enter(tmp_path, *command, "--params_override=task.width=16")
  assert ended.status == 0, ended.err
  result = json.loads((model_dir / "result.json").read_text())
  assert (result["strategy"], result["replicas"]) == ("mirrored", 2)
  assert result["eval"]["examples_seen"] == 360
  assert result["eval"]["accuracy"] > 0.8  # The most frequent digit: 0.10.
  confusion = np.array(result["eval"]["confusion"])
  assert confusion.shape == (10, 10) and confusion.sum() == 360
  other = enter(tmp_path, *command, "--params_override=task.width=8")
  assert other.status == 2
  assert "task.width: 16 -> 8" in other.err


def test_a_split_that_it_has_not_is_refused(tmp_path):
  ended = enter(
    tmp_path,
    "launch.train",
    f"--task={TASK}",
    "--params_override=evaluation.split=test",
    f"--model_dir={tmp_path / 'm'}",
  )
  assert ended.status == 2
  assert "`split` is 'test', but must be one of ['train', 'dev']" in ended.err
  assert not (tmp_path / "m").exists()
