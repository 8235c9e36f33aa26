"""A door checks what it was given before it loads TensorFlow."""

import ast
import glob
import os

import pytest

from tests.support.testing import ROOT

HEAVY = ("tensorflow", "tensorflow_text", "tf_keras", "orbit", "official")
DOORS = [
  os.path.relpath(path, ROOT)
  for path in sorted(glob.glob(os.path.join(ROOT, "launch", "[a-z]*.py")))
]


def imported_at_once(path):
  """The modules that a file imports before anything of it is called."""
  with open(os.path.join(ROOT, path)) as file:
    for node in ast.parse(file.read()).body:
      if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
      elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_of(module):
  """The files of a module of ours, or of the one that a name is in."""
  parts = module.split(".")
  for end in (len(parts), len(parts) - 1):
    path = "/".join(parts[:end]) + ".py"
    if os.path.exists(os.path.join(ROOT, path)):
      yield path
      return


@pytest.mark.parametrize("door", DOORS)
def test_a_door_loads_tensorflow_behind_its_checks(door):
  ways, queue = {door: door}, [door]
  for path in queue:
    for module in imported_at_once(path):
      assert module.split(".")[0] not in HEAVY, f"{ways[path]} -> {module}"
      for room in rooms_of(module):
        if room not in ways:
          ways[room] = f"{ways[path]} -> {room}"
          queue.append(room)
  assert len(ways) > 2
