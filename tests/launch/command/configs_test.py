"""One typed config: later layers win, and nothing unknown passes."""

import dataclasses

import pytest
import yaml

from engine.errors import UserError
from engine.settings import fields_of
from launch.command import configs
from tasks.config import HELD_OUT, RECIPES


def test_later_layers_win():
  config = configs.build_config(
    [
      {"train": {"seed": 1, "epochs": 5}},
      {"train": {"seed": 2}, "task": {"encoder": "tiny"}},
    ]
  )
  assert (config.train.seed, config.train.epochs) == (2, 5.0)
  assert isinstance(config.train.epochs, float)


@pytest.mark.parametrize("encoder", sorted(RECIPES))
def test_the_encoders_recipe_lies_below_the_users_layers(encoder):
  chosen = configs.build_config([{"task": {"encoder": encoder}}])
  for part, values in RECIPES[encoder].items():
    assert dataclasses.asdict(getattr(chosen, part)).items() >= values.items()
  said = configs.build_config(
    [
      {"task": {"encoder": encoder}},
      {"optimizer": {"learning_rate": 7e-6}},
    ]
  )
  assert said.optimizer.learning_rate == 7e-6


def test_config_yaml_gives_the_same_config_back():
  config = configs.build_config([configs.parse_overrides("train.seed=3")])
  text = yaml.safe_dump(dataclasses.asdict(config))
  assert configs.from_dict(yaml.safe_load(text)) == config


def test_overrides_are_typed_as_yaml():
  layer = configs.parse_overrides(
    "optimizer.learning_rate=3e-5,task.dropout=0,runtime.quiet=true"
  )
  config = configs.build_config([layer])
  assert config.optimizer.learning_rate == 3e-5
  assert config.task.dropout == 0.0
  assert config.runtime.quiet is True
  same = configs.parse_overrides("{optimizer: {learning_rate: 3.0e-5}}")
  assert configs.build_config([same]).optimizer.learning_rate == 3e-5


@pytest.mark.parametrize(
  ("override", "complaint"),
  [
    ("optimizer.learning_rat=1", "did you mean `optimizer.learning_rate`"),
    ("train.seed=x", "Wrong type of a setting"),
    ("train.seed", "must be name=value"),
    ("train.seed=-1", "`seed` is -1, but must be from 0"),
    ("task.dropout=1", "`dropout` is 1.0, but must be"),
    ("task.name=mrcp", "`task` is 'mrcp', but must be one of"),
    ("task.batching=pak", "must be pad, bucket or pack"),
    ("train.global_batch_size=0", "must be at least 1 and at most"),
    ("optimizer.warmup_ratio=1", "at least 0 and below 1"),
    ("optimizer.layer_decay=0", "above 0 and at most 1"),
    ("task=mrpc", "no setting `task`: did you mean `task.name`"),
    ("train.epochs.x=1", "no setting `train.epochs.x`"),
    ("train.seed=[1", "which is no YAML .*in line 1"),
    ("{train: {seed: 1}", "`params_override` is .*, which is no YAML"),
    ("train.epochs=.inf", "above 0 and at most 1000000"),
    ("optimizer.clip_norm=.nan", "0 or more and finite"),
    ("task.dropout=0.999", "at least 0 and at most 0.9"),
  ],
)
def test_bad_overrides_are_refused_with_a_cure(override, complaint):
  with pytest.raises(UserError, match=complaint):
    configs.build_config([configs.parse_overrides(override)])


def test_files_are_layers(tmp_path):
  path = tmp_path / "c.yaml"
  path.write_text("train:\n  seed: 4\n")
  assert configs.build_config([configs.read_file(path)]).train.seed == 4
  path.write_text("- a list\n")
  with pytest.raises(UserError, match="must hold name: value"):
    configs.read_file(path)
  with pytest.raises(UserError, match="cannot be read"):
    configs.read_file(tmp_path / "none.yaml")


def test_each_setting_has_its_sentence():
  fields = [field for _, field, _ in fields_of(configs.default_config())]
  assert len(fields) > 20
  for field in fields:
    assert field.metadata["help"].endswith("."), field.name


@pytest.mark.parametrize(
  ("task", "share"),
  [
    ({"name": "pairs", "train_file": "a"}, HELD_OUT),
    ({"name": "pairs", "train_file": "a", "eval_fraction": 0.0}, 0.0),
    ({"name": "pairs", "train_file": "a", "eval_fraction": 0.3}, 0.3),
    ({"name": "pairs", "train_file": "a", "eval_file": "b"}, 0.0),
    ({"name": "demo"}, 0.0),
    ({"name": "pairs"}, 0.0),
  ],
)
def test_files_are_split_where_nobody_says_on_what_to_evaluate(task, share):
  layers = [{"task": task}]
  config = configs.with_held_out(configs.build_config(layers), layers)
  assert config.task.eval_fraction == share


def test_nothing_is_held_out_where_another_split_is_evaluated():
  task = {"name": "pairs", "train_file": "a", "test_file": "b"}
  layers = [{"task": task, "evaluation": {"split": "test"}}]
  config = configs.with_held_out(configs.build_config(layers), layers)
  assert config.task.eval_fraction == 0
