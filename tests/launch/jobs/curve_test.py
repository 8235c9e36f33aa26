"""Parts of the training split, several seeds each, and what they are worth."""

import json
import re

import pytest

from engine.errors import UserError
from launch.command import configs
from launch.jobs.curve import parse_fractions, train_curve, with_fraction
from tests.support.doors import TINY, enter


def test_fractions_are_numbers_above_0_and_at_most_1():
  assert parse_fractions(["1", "0.1", "0.3"]) == [0.1, 0.3, 1.0]
  assert parse_fractions([]) == []
  for wrong in (["0"], ["1.1"], ["nan"], ["x"], ["0.1"] * 101):
    with pytest.raises(UserError, match="above 0 and at most 1"):
      parse_fractions(wrong)
  with pytest.raises(UserError, match="which has one twice"):
    parse_fractions(["0.5", ".5"])


def test_several_fractions_need_seeds(tmp_path):
  config = configs.default_config()
  with pytest.raises(UserError, match="add --seeds=0-2"):
    train_curve([0.1, 1.0], "", config, str(tmp_path))
  assert with_fraction(config, 0.25).task.train_fraction == 0.25


@pytest.mark.slow
def test_the_door_trains_a_curve_and_goes_on_with_it(tmp_path):
  ask = lambda: enter(
    tmp_path,
    "launch.train",
    *TINY,
    "--train_fraction=0.5,1",
    "--seeds=0-1",
    "--quiet",
    f"--model_dir={tmp_path}/curve",
  )
  ended = ask()
  assert ended.status == 0, ended.err
  kept = json.loads((tmp_path / "curve" / "curve.json").read_text())
  assert [x["examples"] for x in kept["points"]] == [492, 984]
  assert re.search(r"0.5 +492 +2 +0\.\d{4}", ended.out)
  assert "0.5 -> 1: " in ended.out
  assert "Is more data worth" in (tmp_path / "curve/curve.html").read_text()
  paths = [*tmp_path.glob("curve/fraction_*/seed_*/result.json")]
  assert len(paths) == 4
  times = [path.stat().st_mtime for path in paths]
  assert ask().status == 0
  assert [path.stat().st_mtime for path in paths] == times
