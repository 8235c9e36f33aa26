"""A space of settings is read from YAML, and refused where it is none."""

import pytest

from engine.errors import UserError
from launch.command import configs
from launch.jobs.space import Dimension, check_space, layer_of, read_space

DEFAULT = configs.default_config()


def read(text, said=()):
  import yaml

  return read_space(yaml.safe_load(text), DEFAULT, said)


def test_a_space_names_settings_as_flags_or_in_full_or_nested():
  space = read("""
    learning_rate: {low: 1e-5, high: 1e-3, log: true}
    train.global_batch_size: [16, 32]
    task:
      dropout: {low: 0, high: 0.3, step: 0.1}
    train: {epochs: [1, 2.5]}
    warmup_steps: {low: 1, high: 64, log: true}
  """)
  assert space == [
    Dimension("optimizer.learning_rate", low=1e-5, high=1e-3, log=True),
    Dimension("train.global_batch_size", choices=(16, 32)),
    Dimension("task.dropout", low=0.0, high=0.3, step=0.1),
    Dimension("train.epochs", choices=(1, 2.5)),
    Dimension("optimizer.warmup_steps", low=1, high=64, log=True, whole=True),
  ]
  check_space(space, [{"task": {"encoder": "tiny"}}])


@pytest.mark.parametrize(
  ("text", "complaint"),
  [
    ("lr: [1, 2]", "no setting: did you mean `optimizer.learning_rate`?"),
    ("task.dropuot: [0, 0.1]", "did you mean `task.dropout`?"),
    ("{}", "names no setting"),
    ("dropout: 0.1", r"must have \[a, b, ...\] or"),
    ("dropout: [0.1]", "two choices or more"),
    ("dropout: [0.1, 0.1]", "all different"),
    ("dropout: [[1], [2]]", "numbers, words"),
    ("dropout: {low: 0.3, high: 0.1}", "low must be below high"),
    ("dropout: {low: a, high: 0.1}", "low must be below high, both numbers"),
    ("dropout: {low: .nan, high: 0.1}", "low must be below high"),
    ("dropout: {low: 0, high: 0.3, log: true}", "above 0 for log"),
    ("dropout: {low: 0.1, high: 0.3, log: maybe}", "log must be true or false"),
    ("dropout: {min: 0, max: 0.3}", "must have low and high"),
    ("dropout: {low: 0, high: 0.3, step: 0}", "step must be above 0"),
    ("dropout: {low: 0, high: 0.3, stride: 1}", "must have low and high"),
    ("train_steps: {low: 1.5, high: 3}", "both whole numbers"),
    ("schedule: {low: 1, high: 3}", "no number: write its choices"),
    ("seed: [1, 2]", "`train.seed`, which cannot be searched"),
    ("{dropout: [0, 0.1], task.dropout: [0, 0.1]}", "twice"),
  ],
)
def test_what_is_no_space_is_refused_in_one_line(text, complaint):
  with pytest.raises(UserError, match=complaint) as error:
    read(text)
  assert len(str(error.value)) <= 300 and "\n" not in str(error.value)


def test_what_the_command_line_gives_too_is_refused():
  with pytest.raises(UserError, match="given by the command line too"):
    read("dropout: [0, 0.1]", said=["task.dropout"])


@pytest.mark.parametrize(
  ("text", "complaint"),
  [
    ("dropout: {low: 0.1, high: 0.95}", "`dropout` is 0.95, but must be"),
    ("optimizer.type: [adamw, sgd]", "`optimizer.type` is 'sgd', but must"),
  ],
)
def test_values_that_no_run_takes_are_refused_before_the_first_trial(
  text, complaint
):
  with pytest.raises(UserError, match=complaint):
    check_space(read(text), [])


def test_the_settings_of_a_trial_are_a_layer():
  layer = layer_of({"optimizer.learning_rate": 0.1, "train.epochs": 2})
  assert layer == {"optimizer": {"learning_rate": 0.1}, "train": {"epochs": 2}}
