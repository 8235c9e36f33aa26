"""One process, four logical CPUs, a cache of its own."""

import gc
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # As the engine says, later.

import pytest
import tensorflow as tf

from engine.measure import xla_flags

tf.config.set_logical_device_configuration(
  tf.config.list_physical_devices("CPU")[0],
  [tf.config.LogicalDeviceConfiguration()] * 4,
)

# Begun first, two processes end at nearly the same time.
LONGEST = (
  "launch/jobs/search",  # It forks, and this process is small yet.
  "engine/run/trainer",
  "launch/train",
  "house/workers",
  "launch/encode",
  "tasks/encoders/battery",
  "tasks/encoders/sources/saved_models",
  "tasks/data/pairs",
  "engine/run/resume",
  "engine/step/averages",
  "launch/jobs/seeds",
)
HERE = pathlib.Path(__file__).parent

gc.set_threshold(20_000, 20, 50)  # Graphs are many objects, and most stay.


def pytest_configure(config):
  """All processes share what XLA compiles, as those of --compile_cache do."""
  if os.environ.get("TF_XLA_FLAGS"):
    return  # Who started this process has said where.
  shared = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
  config.add_cleanup(shared.cleanup)
  xla_flags.keep_in(shared.name)


def pytest_collection_modifyitems(items):
  places = {HERE / f"{name}_test.py": i for i, name in enumerate(LONGEST)}
  items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="module", autouse=True)
def spared():
  """Spares the collector TensorFlow, all tests, and what they keep."""
  gc.collect()
  gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
  """Imported encoders go here, not into the user's cache."""
  os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
