"""What a task need not say, and what becomes of it where it does not."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from engine.config import TaskConfig
from engine.errors import UserError
from engine.task import ArraySource
from launch.command import configs
from launch.trained.inputs import Input
from launch.trained.predictions import predict_lines, predict_split
from launch.trained.restored import Restored
from tests.support.testing import LineTask


class Told(LineTask):
  """Reads a number a line, and has names for what it says."""

  def read_inputs(self, lines):
    x = np.array([[float(line)] * 8 for _, line in lines], np.float32)
    return ArraySource({"x": x}, np.zeros(len(x), np.int32))

  def readings(self, outputs):
    names = tf.constant(["left", "right"])
    return {"side": tf.gather(names, tf.argmax(outputs, -1)), "raw": outputs}


class Forgetful(Told):
  def read_inputs(self, lines):
    return super().read_inputs([*lines][1:])


LABELS, OUTPUTS = np.array([0, 1, 1]), np.array([[2.0, 1], [0, 1], [1, 0]])


def misses(labels, outputs):
  return int((outputs.argmax(-1) != labels).sum())


def greedy(labels, outputs):
  labels[:], outputs[:] = 0, 0
  return 1


def with_metrics(*functions):
  task = LineTask()
  task.more_metrics = {x.__name__: x for x in functions}
  return task


def test_more_metrics_stand_beside_a_tasks_own_and_alter_nothing():
  own = LineTask().all_metrics(LABELS, OUTPUTS)
  found = with_metrics(greedy, misses).all_metrics(LABELS, OUTPUTS)
  assert found == {**own, "greedy": 1.0, "misses": 1.0}
  assert own == LineTask().metrics(LABELS, OUTPUTS)
  assert LABELS.tolist() == [0, 1, 1] and OUTPUTS[0, 0] == 2


def test_more_metrics_take_outputs_of_any_structure():
  def count(labels, outputs):
    return len(outputs["a"]) + len(outputs["b"][0])

  class Several(LineTask):
    def metrics(self, labels, outputs):
      return {}

  task = Several()
  task.more_metrics = {"count": count}
  found = task.all_metrics(LABELS, {"a": OUTPUTS, "b": (OUTPUTS,)})
  assert found == {"count": 6.0}


def accuracy(labels, outputs):
  return 1.0


def nothing(labels, outputs):
  return float("nan")


def broken(labels, outputs):
  return labels[99]


@pytest.mark.parametrize(
  ("metric", "complaint"),
  [
    (accuracy, "accuracy is one that the task has: call your function"),
    (nothing, "nothing is nan, but must be finite"),
    (sys.exit, "exit fails .*: mend it"),
    (broken, "broken fails .*: mend it; the same command goes on"),
  ],
)
def test_a_metric_that_is_no_number_or_not_new_is_refused(metric, complaint):
  with pytest.raises(UserError, match=complaint):
    with_metrics(metric).all_metrics(LABELS, OUTPUTS)


def restored(task):
  model = task.build_model()
  task.initialize(model, seed=0)
  return Restored(configs.default_config(), task, model, 0, "")


@pytest.mark.parametrize(
  ("method", "call"),
  [
    ("read_inputs", lambda task, _: task.read_inputs([])),
    ("serving_signature", lambda task, x: task.export(None, "saved_model", x)),
    ("export", lambda task, x: task.export(None, "huggingface", x)),
  ],
)
def test_a_method_that_is_not_defined_is_named_with_the_cure(
  tmp_path, method, call
):
  with pytest.raises(UserError, match="LineTask does not define") as error:
    call(LineTask(), str(tmp_path / "out"))
  assert f"`{method}`" in str(error.value)
  assert "define it (docs/write_a_task.md)" in str(error.value)
  assert not (tmp_path / "out").exists()


def test_a_task_is_built_again_from_its_config_alone():
  config = configs.default_config().task
  built = []

  class Mine(LineTask):
    def __init__(self, config):
      super().__init__()
      built.append(config)

  assert isinstance(Mine.from_assets(config, "anywhere"), Mine)
  assert built == [config]


def test_of_a_split_its_outputs_are_written():
  run = restored(LineTask())
  header, *lines = (x.split("\t") for x in predict_split(run, "dev", 8))
  assert header == ["id", "outputs.0", "outputs.1"]
  assert [line[0] for line in lines] == [str(i) for i in range(53)]
  outputs = run.model({"x": x_of(run.task.source("dev"))}).numpy()
  found = [[float(x) for x in line[1:]] for line in lines]
  np.testing.assert_allclose(found, outputs, atol=6e-5)


def x_of(source):
  every = np.arange(len(source))
  layout = source.layout(every, batch_size=len(source), shares=1)
  return source.batch(every, layout)["x"]


def rows(path):
  return Input([str(path)], TaskConfig(), "example")


def test_of_lines_the_readings_are_written_in_their_order(tmp_path):
  path = tmp_path / "numbers.txt"
  path.write_text("2\n-3\n0.5\n")
  run = restored(Told())
  lines = [x.split("\t") for x in predict_lines(run, rows(path), 2)]
  x = np.repeat([[2], [-3], [0.5]], 8, axis=1).astype(np.float32)
  outputs = run.model({"x": x}).numpy()
  sides = [["left", "right"][i] for i in outputs.argmax(-1)]
  assert lines == [
    [side, *(f"{value:.4f}" for value in row)]
    for side, row in zip(sides, outputs, strict=True)
  ]


def test_each_line_must_be_an_example(tmp_path):
  path = tmp_path / "numbers.txt"
  path.write_text("2\n-3\n")
  with pytest.raises(UserError, match="gave 1 examples for 2 lines"):
    list(predict_lines(restored(Forgetful()), rows(path), 2))
  path.write_text("")
  with pytest.raises(UserError, match=r"numbers\.txt has no example"):
    list(predict_lines(restored(Told()), rows(path), 2))
