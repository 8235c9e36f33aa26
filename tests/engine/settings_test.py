"""A setting is one field: its default, sentence, numbers and flag."""

import dataclasses
import math

import pytest

from engine.config import (
  ExperimentConfig,
  OptimizerConfig,
  TaskConfig,
  TrainConfig,
)
from engine.errors import UserError
from engine.settings import (
  RARE,
  Settings,
  check,
  differences,
  fields_of,
  free,
  identity,
  leaves,
  setting,
  told,
)
from tasks.config import SentencePairConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbers(Settings):
  count: int = setting(4, "How many.", min=1)
  speed: float = setting(1.0, "How fast.", RARE, above=0)
  share: float = free(0.5, "How much.", min=0, below=1)
  part: float = setting(0.5, "Which part.", above=0, max=1)
  shift: float = setting(0.0, "Where.")
  bare: float = 0.0
  name: str = setting("", "Whose.")


@pytest.mark.parametrize(
  ("values", "rule"),
  [
    ({"count": 0}, "`count` is 0, but must be 1 or more."),
    ({"speed": 0.0}, "`speed` is 0.0, but must be above 0 and finite."),
    ({"speed": math.inf}, "above 0 and finite"),
    ({"share": 1.0}, "at least 0 and below 1."),
    ({"share": -0.1}, "at least 0 and below 1."),
    ({"part": 0.0}, "above 0 and at most 1."),
    ({"shift": -math.inf}, "`shift` is -inf, but must be finite."),
    ({"bare": math.nan}, "`bare` is nan, but must be finite."),
  ],
)
def test_a_number_out_of_its_range_is_refused_with_the_rule(values, rule):
  with pytest.raises(UserError) as refused:
    Numbers(**values)
  assert rule in str(refused.value)


def test_the_ends_of_a_range_are_in_it_where_it_says_so():
  Numbers(count=1, share=0.0, part=1.0, shift=-1e300)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_of_a_run_is_nan_or_infinite(value):
  run = ExperimentConfig()
  floats = [path for path, _, x in fields_of(run) if isinstance(x, float)]
  assert len(floats) > 10
  for path in floats:
    part, name = path.split(".")
    with pytest.raises(UserError, match=f"`{name}` is {value}, but must be"):
      dataclasses.replace(getattr(run, part), **{name: value})


def test_a_task_with_checks_of_its_own_is_held_to_its_ranges_too():
  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Mine(TaskConfig):
    width: int = setting(4, "Units.", min=1)
    height: int = 2

    def __post_init__(self):  # Does not know that there is one above.
      check(self.height > 1, "task.height", self.height, "2 or more")

  with pytest.raises(UserError, match=r"`task\.height` is 1"):
    Mine(height=1)
  with pytest.raises(UserError, match=r"`task\.width` is 0, but must be 1 or"):
    ExperimentConfig(task=Mine(width=0))


def test_a_setting_that_is_free_does_not_identify():
  assert [k for k, _, is_free in leaves(Numbers()) if is_free] == ["share"]
  assert [*identity(Numbers())] == [
    "count",
    "speed",
    "part",
    "shift",
    "bare",
    "name",
  ]


def test_differences_name_the_fields_that_change_training():
  old = ExperimentConfig(task=SentencePairConfig())
  new = dataclasses.replace(
    old,
    train=TrainConfig(seed=9, accumulate_steps=2),
    optimizer=OptimizerConfig(learning_rate=1.0),
    task=SentencePairConfig(data_dir="elsewhere", batching="pad"),
  )
  found = differences(identity(old), new)
  assert told(found) == (
    "optimizer.learning_rate: 5e-05 -> 1.0; train.seed: 0 -> 9"
  )
  allowed = ["seed", "optimizer.learning_rate"]
  assert [*differences(identity(old), new, allowed[:1])] == [
    "optimizer.learning_rate"
  ]
  assert not differences(identity(old), new, allowed)
  assert not differences(identity(old), old)
