"""Runs files of tests, the slow ones too: the main of each `py_test`."""

import sys

import pytest

if __name__ == "__main__":
  sys.exit(pytest.main(["-m", "", *sys.argv[1:]]))
