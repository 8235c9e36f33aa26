"""What a directory holds of a run says which shapes it goes on with."""

import dataclasses
import json

from engine.config import ExperimentConfig, RuntimeConfig, TaskConfig
from engine.durability.run_directory import RunDirectory
from engine.run.found import with_shapes

CONFIG = ExperimentConfig(task=TaskConfig(name="demo"))


def shapes_in(directory, asked="auto"):
  runtime = RuntimeConfig(shapes=asked)
  config = dataclasses.replace(CONFIG, runtime=runtime)
  return with_shapes(config, directory).runtime.shapes


def begun(path, **runtime):
  """A directory whose config says that of the runtime."""
  path.mkdir()
  values = {"task": {"name": "demo"}, "runtime": runtime}
  (path / "config.yaml").write_text(json.dumps(values))  # JSON is YAML.
  return RunDirectory(str(path))


def test_a_new_run_chooses(tmp_path):
  assert shapes_in(RunDirectory(str(tmp_path / "new"))) == "auto"


def test_a_run_that_was_begun_before_shapes_were_chosen_keeps_its_own(tmp_path):
  assert shapes_in(begun(tmp_path / "run", steps_per_loop=5)) == "fixed"


def test_a_run_goes_on_with_what_it_was_begun_with(tmp_path):
  for shapes in ("auto", "cpu", "tpu", "fixed"):
    directory = begun(tmp_path / shapes, shapes=shapes)
    assert shapes_in(directory) == shapes


def test_who_asks_for_others_gets_them(tmp_path):
  assert shapes_in(begun(tmp_path / "run", shapes="tpu"), "cpu") == "cpu"
