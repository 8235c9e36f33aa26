"""The example task: the engine knows no task, and no strategy changes it.

Two workers train it in tests/house/workers_test.py. On a TPU it was
never run.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

from engine.loop.boundary import Boundary
from engine.run.experiment import Experiment
from launch.command import configs
from launch.trained.predictions import predict
from launch.trained.restored import restore_run
from tasks import registry
from tests.support.doors import enter
from tests.support.testing import acting_at, strategy_of
from tests.support.training import lines

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
    patch.setattr(Boundary, "check", acting_at(17, kill))
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


FRESH = """
import json, sys
import numpy as np
import tensorflow as tf
read = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
pixels = tf.constant(np.load(sys.argv[2]))
found = read(pixels=pixels)
one = read(pixels=pixels[:1])
assert not any(name.split(".")[0] in ("engine", "tasks", "examples")
               for name in sys.modules)
json.dump({
  "digit": found["digit"].numpy().tolist(),
  "probabilities": found["probabilities"].numpy().tolist(),
  "one": one["probabilities"].numpy().tolist(),
}, open(sys.argv[3], "w"))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Directory of a run of four steps, trained by the door."""
  directory = tmp_path_factory.mktemp("run")
  ended = enter(
    directory,
    "launch.train",
    f"--task={TASK}",
    "--train_steps=4",
    "--quiet",
    f"--model_dir={directory}/run",
    "--params_override=task.width=16",
  )
  assert ended.status == 0, ended.err
  return f"{directory}/run"


@pytest.fixture(scope="module")
def expected(run):
  """The images of 'dev', and what the run says of them."""
  restored = restore_run(run)
  source = restored.task.source("dev")
  every = np.arange(len(source))
  layout = source.layout(every, batch_size=len(source), shares=1)
  return source.batch(every, layout)["pixels"], predict(restored, source)


def digits_and_shares(lines):
  """What lines of predictions say, in numbers."""
  digits = [int(line[0]) for line in lines]
  return digits, [[float(x.split("=")[-1]) for x in line[1:]] for line in lines]


def test_the_door_predicts_lines_of_pixels(run, expected, tmp_path):
  pixels, readings = expected
  rows = (16 * pixels[:40]).reshape([40, 64]).astype(int).astype(str).tolist()
  separators = (" ", ",", ", ", "\t")
  text = "".join(
    separators[i % 4].join(row) + "\n" for i, row in enumerate(rows)
  )
  ended = enter(tmp_path, "launch.predict", f"--model_dir={run}", stdin=text)
  assert ended.status == 0, ended.err
  lines = [line.split("\t") for line in ended.out.splitlines()]
  assert lines[0][1].startswith("0=") and lines[0][10].startswith("9=")
  digits, shares = digits_and_shares(lines)
  assert digits == readings["digit"][:40].tolist()
  np.testing.assert_allclose(shares, readings["probabilities"][:40], atol=6e-5)


def test_the_door_predicts_a_split(run, expected, tmp_path):
  output = tmp_path / "dev.tsv"
  ended = enter(
    tmp_path,
    "launch.predict",
    f"--model_dir={run}",
    "--split=dev",
    f"--output={tmp_path}",
    "--batch_size=50",
  )
  assert (ended.status, ended.out) == (0, ""), ended.err
  header, *lines = (x.split("\t") for x in output.read_text().splitlines())
  assert header == ["id", "digit", *(f"probabilities.{i}" for i in range(10))]
  assert [line[0] for line in lines] == [str(i) for i in range(360)]
  digits, shares = digits_and_shares([line[1:] for line in lines])
  assert digits == expected[1]["digit"].tolist()
  np.testing.assert_allclose(shares, expected[1]["probabilities"], atol=6e-5)


def test_a_server_without_our_code_says_what_the_run_says(
  run, expected, tmp_path
):
  ended = enter(
    tmp_path,
    "launch.export",
    f"--model_dir={run}",
    f"--export_dir={tmp_path / 'out'}",
  )
  assert ended.status == 0, ended.err
  assert "saved_model of step 4" in ended.out
  assert "signature serving_default (pixels)" in ended.out
  np.save(tmp_path / "pixels.npy", expected[0])
  names = ("out", "pixels.npy", "said.json")
  subprocess.run(
    [sys.executable, "-c", FRESH, *(str(tmp_path / name) for name in names)],
    check=True,
    cwd=tmp_path,
  )
  said = json.loads((tmp_path / "said.json").read_text())
  shares = expected[1]["probabilities"]
  assert said["digit"] == expected[1]["digit"].tolist()
  np.testing.assert_allclose(said["probabilities"], shares, atol=1e-6)
  np.testing.assert_allclose(said["one"], shares[:1], atol=1e-6)


@pytest.mark.parametrize(
  ("door", "flag", "complaint"),
  [
    ("predict", "--batch_size=2", "standard input, line 2: write an image as"),
    ("predict", "--split=test", "`split` is 'test', but must be one of"),
    ("predict", "--data_dir=x", "There is no setting `task.data_dir`"),
    ("export", "--format=hub", "Digits does not define `export`, which writes"),
  ],
)
def test_what_it_cannot_be_asked_for_is_said_in_one_line(
  run, tmp_path, door, flag, complaint
):
  written = [f"--export_dir={tmp_path / 'out'}"] if door == "export" else []
  stdin = "0 " * 64 + "\n" + "17 " * 64 + "\n"
  command = (f"launch.{door}", f"--model_dir={run}", flag, *written)
  ended = enter(tmp_path, *command, stdin=stdin)
  assert (ended.status, ended.out) == (2, "")
  assert complaint in ended.err
  assert len(ended.err.strip().splitlines()) == 1
  assert not (tmp_path / "out").exists()
