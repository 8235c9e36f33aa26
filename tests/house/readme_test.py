"""What is shown first: the README's code runs, the house is the house."""

import ast
import glob
import os
import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import engine.task
from engine.config import ExperimentConfig, OptimizerConfig, TrainConfig
from engine.run.experiment import Experiment
from tests.support.testing import ROOT, strategy_of

FLOORS = ("launch", "tasks", "engine", "benchmarks", "examples")


def readme():
  with open(os.path.join(ROOT, "README.md")) as file:
    return file.read()


def house():
  """Folder -> sentence, from the top of the drawing to its foot."""
  with open(os.path.join(ROOT, "docs", "architecture.md")) as file:
    (drawing,) = re.findall(r"```\n(launch/.*?)```", file.read(), re.DOTALL)
  found, floor = {}, ""
  for line in drawing.splitlines():
    indent, name, sentence = re.fullmatch(r"( *)(\w+)/ +(.+)", line).groups()
    floor = floor if indent else name
    found[f"{floor}/{name}" if indent else name] = sentence
  return found


def trees(wing):
  """The syntax trees of all modules of a wing."""
  for path in glob.glob(os.path.join(ROOT, wing, "**/*.py"), recursive=True):
    with open(path) as file:
      yield ast.parse(file.read())


def test_the_task_in_15_lines_learns(tmp_path):
  (code,) = re.findall(r"```python\n(.*?)```", readme(), re.DOTALL)
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


def test_the_house_has_all_floors_and_wings_with_their_sentences():
  real = {}
  for floor in FLOORS:
    for folder in (floor, *glob.glob(f"{floor}/*/", root_dir=ROOT)):
      path = os.path.join(ROOT, folder, "__init__.py")
      if os.path.exists(path):
        with open(path) as file:
          sentence = ast.get_docstring(ast.parse(file.read()))
        real[folder.rstrip("/")] = sentence.splitlines()[0]
  assert house() == real


@pytest.mark.parametrize("wing", [x for x in house() if "/" in x])
def test_no_import_goes_up_the_drawing(wing):
  rooms = list(house())
  above = {x for x in rooms[: rooms.index(wing)] if "/" in x}
  imported = {
    "/".join(node.module.split(".")[:2])
    for tree in trees(wing)
    for node in ast.walk(tree)
    if isinstance(node, ast.ImportFrom)
  }
  floor = wing.split("/")[0]
  assert not {x for x in imported & above if x.startswith(f"{floor}/")}


def test_each_door_has_a_row_in_the_table():
  rows = re.findall(r"^\| `(\w+)` \|.*`python -m launch\.(\w+)", readme(), re.M)
  doors = {
    os.path.basename(path)[:-3]
    for path in glob.glob(os.path.join(ROOT, "launch", "[a-z]*.py"))
  }
  assert all(name == started for name, started in rows)
  assert sorted(name for name, _ in rows) == sorted(doors)


def test_the_readme_is_read_in_one_go():
  assert readme().count("\n") <= 110
