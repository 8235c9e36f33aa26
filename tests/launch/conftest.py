"""A run that the tests of several doors look at."""

import pytest

from tests.support.doors import TINY, enter


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
  """Directory of a finished run of four steps, and what the door said."""
  directory = tmp_path_factory.mktemp("trained")
  model_dir = directory / "model"
  ended = enter(directory, "launch.train", *TINY, f"--model_dir={model_dir}")
  assert ended.status == 0, ended.err
  assert ended.err == ""  # Libraries have nothing to tell the user of a run.
  return model_dir, ended
