"""The front doors."""

import glob
import os

# TensorFlow's C++ notes would bury the first lines of a run. Errors stay
# visible where there is a GPU; elsewhere the one error is that there is none.
os.environ.setdefault(
  "TF_CPP_MIN_LOG_LEVEL", "2" if glob.glob("/dev/nvidia*") else "3"
)
