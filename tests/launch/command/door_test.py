"""What all doors do alike."""

import pytest

from tests.support.doors import enter


@pytest.mark.parametrize("door", ["launch.train", "launch.predict"])
def test_help_fits_on_a_screen_and_shows_defaults(tmp_path, door):
  ended = enter(tmp_path, door, "--help")
  assert ended.status == 0
  lines = ended.out.splitlines()
  assert len(lines) <= 30
  assert max(map(len, lines)) <= 100
  assert "--model_dir" in ended.out
  if door == "launch.train":
    assert "Passes over the training split. [3.0]" in ended.out
