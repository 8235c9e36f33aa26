"""How a task is trained; knows no task, no data set, no flag."""

import os

# TensorFlow and its libraries then load tf_keras alone: Keras 3 cannot run
# under a distribution strategy, and its import is a second of each start.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
