"""BUILD is the architecture: it equals the imports, and arrows run down."""

import ast
import os
import sys

import pytest

from tests.testing import ROOT

FLOORS = ("launch", "tasks", "engine")
FOLDERS = (*FLOORS, "examples", "benchmarks", "tests")
MAY_IMPORT = {
  "engine": {"engine"},
  "tasks": {"tasks", "engine"},
  "launch": {"launch", "tasks", "engine"},
  "benchmarks": {"benchmarks", "launch", "tasks", "engine"},
  "examples": {"engine"},  # As a task of one's own, elsewhere, would.
  "tests": set(FOLDERS),
}


def read_build():
  """Target name -> (sources, dependencies), as BUILD declares them."""
  with open(os.path.join(ROOT, "BUILD")) as file:
    calls = [
      node.value
      for node in ast.parse(file.read()).body
      if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
  targets = {}
  for call in calls:
    if call.func.id not in ("py_library", "py_binary", "py_test"):
      continue
    values = {
      keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords
    }
    assert values["name"] not in targets, values["name"]
    targets[values["name"]] = values["srcs"], set(values.get("deps", ()))
  return targets


def python_files():
  for folder in FOLDERS:
    for parent, _, names in os.walk(os.path.join(ROOT, folder)):
      for name in names:
        if name.endswith(".py"):
          path = os.path.relpath(os.path.join(parent, name), ROOT)
          yield path.replace(os.sep, "/")


def imported_modules(path):
  """Full names of what a file imports, inside functions too."""
  with open(os.path.join(ROOT, path)) as file:
    tree = ast.parse(file.read())
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      for alias in node.names:
        yield alias.name
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}: relative import"
      for alias in node.names:
        yield f"{node.module}.{alias.name}"


def dependencies(path):
  """The labels that a file's imports stand for."""
  for module in imported_modules(path):
    parts = module.split(".")
    if parts[0] in FOLDERS:
      rooms = ["/".join(parts[:n]) for n in (3, 2) if len(parts) >= n]
      room = next(
        (r for r in rooms if os.path.exists(os.path.join(ROOT, r + ".py"))),
        None,
      )
      assert room, f"{path} imports {module}, which is no room"
      if room + ".py" != path:
        yield ":" + room
    elif parts[0] not in sys.stdlib_module_names:
      yield "@pip//" + parts[0]


def test_each_file_is_in_one_target():
  declared = [src for sources, _ in read_build().values() for src in sources]
  assert sorted(declared) == sorted(
    path for path in python_files() if not path.endswith("__init__.py")
  )


@pytest.mark.parametrize("name", sorted(read_build()))
def test_declared_dependencies_are_the_real_imports(name):
  sources, declared = read_build()[name]
  real = {label for path in sources for label in dependencies(path)}
  assert declared == real


def test_arrows_run_down():
  for path in python_files():
    floor = path.split("/")[0]
    for label in dependencies(path):
      if label.startswith(":"):
        assert label[1:].split("/")[0] in MAY_IMPORT[floor], (path, label)


def test_no_two_rooms_import_each_other():
  graph = {
    name: {label[1:] for label in deps if label.startswith(":")}
    for name, (_, deps) in read_build().items()
  }
  while graph:
    leaves = {name for name, deps in graph.items() if not deps & set(graph)}
    assert leaves, f"a circle among {sorted(graph)}"
    graph = {name: deps for name, deps in graph.items() if name not in leaves}


def test_only_doors_read_flags():
  for path in python_files():
    if any(m.startswith("absl.flags") for m in imported_modules(path)):
      assert path.split("/")[0] in ("launch", "benchmarks"), path


def test_the_engine_knows_no_nlp():
  allowed = ("official.modeling.optimization", "official.common")
  for path in python_files():
    if path.startswith("engine/"):
      for module in imported_modules(path):
        if module.split(".")[0] == "official":
          assert module.startswith(allowed), (path, module)


def test_only_the_experiment_sees_all_rooms():
  build = read_build()
  for name, (_, deps) in build.items():
    if name.startswith("engine/"):
      assert ":engine/experiment" not in deps, name


def test_configs_need_no_tensorflow():
  build = read_build()
  for name in ("engine/config", "engine/errors", "tasks/config"):
    _, deps = build[name]
    assert not any(label.startswith("@pip") for label in deps), name
