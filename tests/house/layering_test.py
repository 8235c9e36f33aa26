"""BUILD is the architecture: each wing's file equals its imports, arrows run down."""

import ast
import os
import sys

import pytest

ROOT = os.path.abspath(__file__).rsplit("/tests/", 1)[0]
FOLDERS = ("engine", "tasks", "launch", "benchmarks", "examples", "tests")
MAY_IMPORT = {  # Floor -> the labels that it may import, by their beginnings.
  "engine": ("//engine",),
  "tasks": ("//tasks", "//engine:contract"),  # The contract, and no more.
  "launch": ("//launch", "//tasks", "//engine"),
  "benchmarks": ("//benchmarks", "//launch", "//tasks", "//engine"),
  "examples": ("//engine:contract",),  # As a task of one's own would.
}


def python_files():
  for folder in FOLDERS:
    for parent, _, names in os.walk(os.path.join(ROOT, folder)):
      for name in sorted(names):
        if name.endswith(".py"):
          path = os.path.relpath(os.path.join(parent, name), ROOT)
          yield path.replace(os.sep, "/")


def read_builds():
  """Label -> (kind, sources, dependencies), over the BUILD files of all wings."""
  targets = {}
  for folder in sorted({os.path.dirname(p) for p in python_files()}):
    path = os.path.join(ROOT, folder, "BUILD")
    if not os.path.exists(path):
      continue
    with open(path) as file:
      calls = [
        node.value
        for node in ast.parse(file.read()).body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
      ]
    for call in calls:
      if call.func.id in ("py_library", "py_binary", "py_test"):
        values = {x.arg: x.value for x in call.keywords}
        name = ast.literal_eval(values["name"])
        last = folder.rsplit("/", 1)[-1]
        label = f"//{folder}" if name == last else f"//{folder}:{name}"
        assert label not in targets, label
        targets[label] = (
          call.func.id,
          _sources(folder, values["srcs"]),
          set(ast.literal_eval(values["deps"])) if "deps" in values else set(),
        )
  return targets


def _sources(folder, srcs):
  if isinstance(srcs, ast.Call):  # glob(["*.py"]): the whole wing.
    names = os.listdir(os.path.join(ROOT, folder))
    names = [x for x in names if x.endswith(".py") and x != "__init__.py"]
  else:
    names = ast.literal_eval(srcs)
  return [f"{folder}/{name}" for name in sorted(names)]


TARGETS = read_builds()
OWNER = {
  path: label for label, (_, srcs, _) in TARGETS.items() for path in srcs
}


def imported(path):
  """The labels that a file's imports stand for, inside functions too."""
  with open(os.path.join(ROOT, path)) as file:
    tree = ast.parse(file.read())
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}: relative import"
      modules = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
      continue
    for module in modules:
      parts = module.split(".")
      if parts[0] in FOLDERS:
        rooms = ("/".join(parts[:n]) + ".py" for n in range(len(parts), 1, -1))
        room = next((x for x in rooms if x in OWNER), None)
        assert room, f"{path} imports {module}, which is no room"
        yield OWNER[room]
      elif parts[0] not in sys.stdlib_module_names:
        yield "@pip//" + parts[0]


def test_each_file_is_in_one_target():
  declared = [x for _, srcs, _ in TARGETS.values() for x in srcs]
  files = [x for x in python_files() if not x.endswith("__init__.py")]
  outside = ("tests/", "examples/")
  assert sorted(declared) == [
    x for x in sorted(files) if not x.startswith(outside)
  ]


@pytest.mark.parametrize("label", sorted(TARGETS))
def test_a_wing_declares_what_it_imports_and_is_what_it_says(label):
  kind, srcs, declared = TARGETS[label]
  real = {x for path in srcs for x in imported(path)} - {label}
  assert declared == real
  if (
    label.count("/") == 2
    and ":" in label
    and srcs[0].split("/")[0]
    in (
      "launch",
      "benchmarks",
    )
  ):
    with open(os.path.join(ROOT, srcs[0])) as file:
      assert ('__name__ == "__main__"' in file.read()) == (kind == "py_binary")


@pytest.mark.parametrize("label", sorted(TARGETS))
def test_arrows_run_down(label):
  floor = label[2:].split("/")[0].split(":")[0]
  for dependency in TARGETS[label][2]:
    if dependency.startswith("//"):
      assert dependency.startswith(MAY_IMPORT[floor]), (label, dependency)


def test_no_wings_import_each_other():
  graph = {
    label: deps & set(TARGETS) for label, (_, _, deps) in TARGETS.items()
  }
  while graph:
    leaves = {label for label, deps in graph.items() if not deps & set(graph)}
    assert leaves, f"a circle among {sorted(graph)}"
    graph = {k: v for k, v in graph.items() if k not in leaves}


def test_no_files_of_a_wing_import_each_other():
  import collections

  graph = collections.defaultdict(set)
  for path in OWNER:
    with open(os.path.join(ROOT, path)) as file:
      tree = ast.parse(file.read())
    for node in ast.walk(tree):
      if isinstance(node, ast.ImportFrom):
        for alias in node.names:
          for name in (f"{node.module}.{alias.name}", node.module):
            room = name.replace(".", "/") + ".py"
            if room in OWNER and room != path:
              graph[path].add(room)
              break
  left = set(OWNER)
  while left:
    leaves = {x for x in left if not graph[x] & left}
    assert leaves, f"a circle among {sorted(left)}"
    left -= leaves
