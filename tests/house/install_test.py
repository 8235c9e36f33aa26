"""Apsis installs as its files say, or says what is in the way."""

import configparser
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib

from tests.support.testing import ROOT


def make_file():
  with open(os.path.join(ROOT, "Makefile")) as file:
    return file.read()


def make(folder, python):
  """What `make .venv/ready` answers in a folder, with a Python."""
  for name in ("Makefile", "setup.cfg", "constraints.txt"):
    shutil.copy(os.path.join(ROOT, name), folder)
  return subprocess.run(
    ["make", "--silent", ".venv/ready", f"PYTHON={python}"],
    cwd=folder,
    capture_output=True,
    text=True,
  )


def test_make_over_what_another_python_left_says_the_cure(tmp_path):
  (tmp_path / ".venv" / "lib" / "python3.99").mkdir(parents=True)
  ended = make(tmp_path, sys.executable)
  own = "python{}.{}".format(*sys.version_info)
  assert ended.returncode == 2
  assert ended.stderr.splitlines()[0] == (
    f".venv is of python3.99, not {own}: rm -r .venv, and again."
  )
  assert os.listdir(tmp_path / ".venv") == ["lib"]


def test_make_with_a_python_that_does_not_fit_says_the_cure(tmp_path):
  old = tmp_path / "old"
  old.write_text(
    f'#!/bin/sh\nexec {sys.executable} -c "import sys\n'
    'sys.version_info = (3, 10, 2)\nexec(sys.argv[2])" $*\n'.replace(
      "$*", '"$@"'
    )
  )
  old.chmod(0o755)
  ended = make(tmp_path, old)
  assert ended.returncode == 2
  assert ended.stderr.startswith("python3.10 does not fit: make demo PYTHON=")
  assert not (tmp_path / ".venv").exists()


def test_setup_cfg_says_what_the_package_is_but_its_pythons():
  setup = configparser.ConfigParser()
  setup.read(os.path.join(ROOT, "setup.cfg"))
  with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
    project = tomllib.load(file)["project"]
  assert set(project) == {"name", "dynamic", "requires-python"}
  # Else uv takes any Python, and locks for that one alone.
  assert "requires-python" not in project["dynamic"]
  least, below = re.findall(r"3, (\d+)\)", make_file())
  assert project["requires-python"] == f">=3.{least},<3.{below}"
  assert project["name"] == setup["metadata"]["name"]
  (script,) = setup["options.entry_points"]["console_scripts"].split("\n")[1:]
  name, _, place = script.partition(" = ")
  module, _, function = place.partition(":")
  assert name == "apsis"
  assert callable(getattr(importlib.import_module(module), function))
