"""One process, four logical CPUs, a cache of its own."""

import gc
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
  tf.config.list_physical_devices("CPU")[0],
  [tf.config.LogicalDeviceConfiguration()] * 4,
)

# Begun first, two processes end at nearly the same time.
LONGEST = (
  "engine/run/trainer",
  "launch/train",
  "house/workers",
  "launch/encode",
  "tasks/encoders/battery",
  "tasks/encoders/sources/saved_models",
  "tasks/data/pairs",
  "house/chaos",
  "engine/run/resume",
  "engine/step/averages",
  "launch/jobs/seeds",
)
HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items):
  places = {HERE / f"{name}_test.py": i for i, name in enumerate(LONGEST)}
  items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish():
  """Spares the collector TensorFlow and all tests: they stay to the end."""
  gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
  """Imported encoders go here, not into the user's cache."""
  os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
