"""A task of one's own: its settings, and what is said where it is none."""

import dataclasses
import itertools
import os
import subprocess
import sys

import pytest
import yaml

from engine.errors import UserError
from engine.settings import differences, flatten, identity
from launch.command import configs
from tasks import registry
from tests.support.doors import enter
from tests.support.testing import ROOT

HEAD = """\
import dataclasses
import engine.config, engine.task

@dataclasses.dataclass(frozen=True, kw_only=True)
class MineConfig(engine.config.TaskConfig):
  width: int = engine.config.setting(4, "Units.")
  rate: float = 0.5
  sizes: tuple[int, ...] = (3, 2)
  place: str = engine.config.setting("", "Where.", free=True)

  def recipe(self):
    return {"train": {"epochs": 7.0}, "optimizer": {"learning_rate": 0.25}}

class Mine(engine.task.Task):
  config_class = MineConfig
  def build_model(self): ...
  def source(self, split): ...
  def loss(self, labels, outputs): ...
  def metrics(self, labels, outputs): ...
"""
_number = itertools.count()


@pytest.fixture
def write(tmp_path, monkeypatch):
  """A function: source -> name of a module that can be imported."""
  monkeypatch.syspath_prepend(tmp_path)

  def write(source):
    name = f"own_task_{next(_number)}"
    (tmp_path / f"{name}.py").write_text(source)
    return name

  return write


def configured(path, **settings):
  return configs.build_config([{"task": {"name": path, **settings}}])


def test_the_settings_of_an_own_task_are_overrides(write):
  path = f"{write(HEAD)}:Mine"
  config = configs.build_config(
    [
      configs.parse_overrides("task.width=9,task.rate=1"),
      configs.nest("task.name", path),
      configs.parse_overrides("{task: {sizes: [5]}}"),
    ]
  )
  task = config.task
  assert (task.width, task.rate, task.sizes) == (9, 1.0, (5,))
  assert isinstance(task.rate, float)
  assert registry.build_task(task).config is task


def test_config_yaml_gives_the_config_of_an_own_task_back(write):
  config = configured(f"{write(HEAD)}:Mine", width=9)
  read = yaml.safe_load(yaml.safe_dump(dataclasses.asdict(config)))
  assert configs.from_dict(read) == config
  assert not differences(flatten(read), config)
  other = configured(config.task.name, width=8, sizes=[1], place="there")
  assert list(differences(flatten(read), other)) == ["task.width", "task.sizes"]
  assert identity(other)["task.sizes"] == [1]


def test_the_recipe_of_an_own_task_lies_below_the_users_layers(write):
  path = f"{write(HEAD)}:Mine"
  config = configs.build_config(
    [{"task": {"name": path}}, {"train": {"epochs": 2.0}}]
  )
  assert (config.train.epochs, config.optimizer.learning_rate) == (2.0, 0.25)


def test_a_task_without_settings_needs_no_config_class(write):
  source = HEAD.replace("  config_class = MineConfig\n", "")
  task = registry.build_task(configured(f"{write(source)}:Mine").task)
  assert task.config.name.endswith(":Mine")


@pytest.mark.parametrize(
  ("settings", "complaint"),
  [
    ({"widht": 1}, "no setting `task.widht`: did you mean `task.width`"),
    ({"encoder": "tiny"}, "no setting `task.encoder`"),
    ({"width": "x"}, 'Wrong type of a setting: .* "width"'),
  ],
)
def test_settings_of_an_own_task_are_checked_as_all_others(
  write, settings, complaint
):
  with pytest.raises(UserError, match=complaint):
    configured(f"{write(HEAD)}:Mine", **settings)


BAD_TASKS = {
  "a package that is not installed": (
    HEAD + "\nimport nowhere_at_all\n",
    "Mine",
    "ModuleNotFoundError: No module named 'nowhere_at_all' .*py, line 21: imp",
  ),
  "an error of its own": (
    "def fall():\n  raise KeyError('the\\nkey')\nfall()\n",
    "Mine",
    r"KeyError: .*key.*py, line 2: raise KeyError",
  ),
  "an error in a library that it calls": (
    "import json\n\njson.loads('{')\n",
    "Mine",
    r"JSONDecodeError: .*own_task_\d+.py, line 3: json.loads",
  ),
  "a syntax error": ("\n\nclass\n", "Mine", "SyntaxError: .*py, line 3"),
  "an exit": ("raise SystemExit(3)\n", "Mine", "SystemExit: 3"),
  "a misspelt class": (HEAD, "Mime", r"did you mean `own_task_\d+:Mine`"),
  "no task": (HEAD, "MineConfig", "is no task: make it a subclass"),
  "a task that lacks parts": (
    HEAD.replace("def loss", "def lost").replace("def source", "def sauce"),
    "Mine",
    "lacks loss, source: define it",
  ),
  "a config that is no dataclass": (
    HEAD.replace("@dataclasses.dataclass(frozen=True, kw_only=True)", ""),
    "Mine",
    "must be a dataclass that inherits from engine.config.TaskConfig",
  ),
  "a config of another kind": (
    HEAD.replace("(engine.config.TaskConfig)", ""),
    "Mine",
    "must be a dataclass that inherits from engine.config.TaskConfig",
  ),
  "a setting without a default": (
    HEAD.replace("rate: float = 0.5", "rate: float"),
    "Mine",
    "'rate'.*give each setting a default",
  ),
  "a setting that YAML does not know": (
    HEAD.replace("rate: float = 0.5", "rate: object = len"),
    "Mine",
    "does not fit into config.yaml",
  ),
  "a constructor of its own kind": (
    HEAD + "  def __init__(self): ...\n",
    "Mine",
    "is built as Mine.config., but takes other arguments",
  ),
  "a recipe of unknown settings": (
    HEAD.replace("epochs", "epoch"),
    "Mine",
    "no setting `train.epoch`: did you mean `train.epochs`",
  ),
}


@pytest.mark.parametrize("case", BAD_TASKS)
def test_what_is_no_task_is_refused_with_its_own_error(write, case):
  source, name, complaint = BAD_TASKS[case]
  with pytest.raises(UserError, match=complaint) as caught:
    configured(f"{write(source)}:{name}")
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("module", ["nowhere_at_all", "examples.nowhere"])
def test_a_module_that_is_not_there_is_named(module):
  with pytest.raises(UserError, match=f"there is no module {module}: start in"):
    configured(f"{module}:Mine")


@pytest.mark.parametrize("path", [":x", "x:", ":", "a..b:C", ".x:C", "a:b:C"])
def test_what_names_no_class_is_refused_with_the_form(path):
  with pytest.raises(UserError, match=f"is '{path}', but must be a module and"):
    configured(path)


def test_a_door_refuses_a_task_that_does_not_import_in_one_line(tmp_path):
  """The directory where it is started is where it looks."""
  (tmp_path / "mine.py").write_text("import sys\nimport nowhere_at_all\n")
  ended = subprocess.run(
    [sys.executable, "-m", "launch.train", "--task=mine:M", "--model_dir=m"],
    cwd=tmp_path,
    env={**os.environ, "PYTHONPATH": ROOT},
    capture_output=True,
    text=True,
  )
  assert ended.returncode == 2
  assert ended.stderr.count("\n") == 1, ended.stderr
  assert "ModuleNotFoundError: No module named 'nowhere_at_all'" in ended.stderr
  assert "mine.py, line 2: import nowhere_at_all)" in ended.stderr
  assert not (tmp_path / "m").exists()


def test_a_benchmark_of_pairs_refuses_another_task(tmp_path):
  ended = enter(tmp_path, "benchmarks.startup", "--task=examples.digits:Digits")
  assert ended.status == 2
  assert "this door is for sentence pairs" in ended.err


def test_help_lists_the_settings_of_an_own_task(tmp_path):
  ended = enter(
    tmp_path, "launch.train", "--task=examples.digits:Digits", "--help"
  )
  assert ended.status == 0, ended.err
  assert "width                Filters of the convolution. [64]" in ended.out


def test_workers_compare_the_code_of_an_own_task(write):
  one, same, other = (f"{write(x)}:Mine" for x in (HEAD, HEAD, HEAD + "#\n"))
  digests = [[*registry.code_facts(x).values()] for x in (one, same, other)]
  assert digests[0] == digests[1] != digests[2]
  assert registry.code_facts("demo") == {}


def test_doors_for_pairs_refuse_an_own_task(write):
  registry.require_pairs(configs.default_config().task, "launch.encode")
  config = configured(f"{write(HEAD)}:Mine")
  with pytest.raises(UserError, match="but launch.encode is for sentence pai"):
    registry.require_pairs(config.task, "launch.encode")
