"""BUILD is the architecture: it equals the code, and arrows run down."""

import ast
import collections
import configparser
import glob
import os
import re
import shutil
import subprocess
import sys

import pytest
import setuptools

from tests.conftest import LONGEST
from tests.support.build_files import House
from tests.support.rooms import (
  FILES,
  FLOORS,
  ROOMS,
  ROOT,
  has_main,
  imports,
  is_a_sentence,
  names,
  text_of,
  tree_of,
  walk,
)

HOUSE = House(ROOT)
TARGETS = HOUSE.targets
MAP = HOUSE.values[""]["MAP"]
WINGS = [f"{floor}/{wing}" for floor, wings in MAP.items() for wing in wings]
CONTRACT = "//engine:contract"
CONFTEST = "//tests:conftest"
RUNNER = "tests/support/run_tests.py"
# Tests of what no one room does.
WHOLE = {
  "engine/run/resume": "a stopped run goes on",
  "engine/run/trainer": "one training, whatever the replicas and rows",
  "tasks/data/corpus": "the corpus of the demo is data",
  "tasks/encoders/battery": "what any family of encoders passes",
  "tasks/encoders/transformers": "what Transformers makes of exports",
}
DISTRIBUTIONS = {  # Of modules that are not called as their package is.
  "absl": "absl_py",
  "google": "protobuf",
  "mlflow": "mlflow_skinny",
  "official": "tf_models_official",
  "orbit": "tf_models_official",
  "sklearn": "scikit_learn",
  "yaml": "pyyaml",
}


def sources(label):
  """The rooms of a target; what runs a test is not its own."""
  target = TARGETS[label]
  if target.kind == "filegroup":
    return []
  return [x for x in target.srcs if x != RUNNER or target.kind != "py_test"]


OWNER = {path: label for label in TARGETS for path in sources(label)}
CODED = [label for label in TARGETS if sources(label)]
PAPERS = [x for x in walk("") if not x.endswith((".py", ".bzl", "BUILD"))]


def dependencies(path):
  """The labels that a file's imports stand for."""
  rooms, others = imports(path)
  if not has_main(path) and not path.endswith("_test.py"):
    # Whoever imports a room, runs the __init__ of its folders first.
    rooms = rooms | {
      x
      for x in FILES
      if x.endswith("/__init__.py")
      and path.startswith(os.path.dirname(x) + "/")
      and not is_a_sentence(x)
    }
  tops = {module.split(".")[0] for module in others}
  return {OWNER[room] for room in rooms} | {
    "@pip//" + DISTRIBUTIONS.get(top, top)
    for top in tops - sys.stdlib_module_names
  }


def assert_no_circle(graph):
  left = {node: set(below) & set(graph) for node, below in graph.items()}
  while left:
    leaves = {node for node, below in left.items() if not below & set(left)}
    assert leaves, f"a circle among {sorted(left)}"
    left = {k: v for k, v in left.items() if k not in leaves}


# What BUILD says is so.


def test_each_file_with_code_is_in_one_target():
  declared = [path for label in TARGETS for path in sources(label)]
  assert len(declared) == len(set(declared))
  assert {x for x in FILES if not is_a_sentence(x)} <= set(declared)
  assert set(declared) <= set(FILES)


@pytest.mark.parametrize(
  "label", [x for x in CODED if TARGETS[x].kind != "py_test"]
)
def test_declared_dependencies_are_the_real_imports(label):
  real = {x for path in sources(label) for x in dependencies(path)}
  assert TARGETS[label].deps == real - {label}


def test_the_tests_of_a_folder_declare_what_they_import():
  real, declared = collections.defaultdict(set), collections.defaultdict(set)
  for label in CODED:
    target = TARGETS[label]
    if target.kind == "py_test":
      declared[target.folder] |= target.deps - {CONFTEST}
      for path in sources(label):
        assert dependencies(path) <= target.deps
        real[target.folder] |= dependencies(path) - {CONFTEST}
  assert len(real) > 10
  assert declared == real


@pytest.mark.parametrize("label", CODED)
def test_what_is_started_has_a_main_and_what_is_imported_has_none(label):
  target = TARGETS[label]
  if target.kind == "py_binary":
    assert has_main(target.main) and target.srcs == (target.main,)
  elif target.kind == "py_test":
    (path,) = sources(label)
    # The runner is handed the one file of tests.
    assert target.main == RUNNER and has_main(RUNNER)
    assert target.args == (f"$(location {os.path.basename(path)})",)
  else:
    assert not any(has_main(path) for path in target.srcs)


def data_of(text):
  """The files that a text in the code names, those of Python aside."""
  if text.startswith("/"):  # Below the root; or all of a folder.
    return {x for x in PAPERS if f"/{x}/".startswith(f"{text}/")}
  if "." in text:
    return {x for x in PAPERS if f"/{x}".endswith(f"/{text}")}
  return {x for x in PAPERS if "/" in text and f"/{text}/" in f"/{x}"}


@pytest.mark.parametrize("label", CODED)
def test_the_files_that_code_names_are_its_data(label):
  laid_out = HOUSE.files(label)
  for path in sources(label):
    for text in names(path):
      files = data_of(text)
      assert not files or files & laid_out, (path, text)


def test_names_of_files_are_found():
  """Or else the test above would hold nothing."""
  found = {
    (path, file)
    for path in ROOMS
    for text in names(path)
    for file in data_of(text)
  }
  assert {
    ("tasks/data/datasets.py", "tasks/data/pairs.tsv"),
    ("tests/support/testing.py", "tests/testdata/minilm_reference.npz"),
    ("tests/house/recipes_test.py", "launch/recipes/slurm.sbatch"),
    ("tests/house/recipes_test.py", "constraints.txt"),
    ("tests/house/tutorial_test.py", "docs/tutorial.ipynb"),
  } <= found


def named_targets(text):
  """Programs and examples: `launch.train`, `--task=examples.digits:Digits`."""
  name = text.rpartition("=")[2].partition(":")[0]
  if "." not in name or "/" in name:
    return set()
  module = name.replace(".", "/")
  return {
    label
    for path, label in OWNER.items()
    if TARGETS[label].kind == "py_binary" or label.startswith("//examples")
    if path == f"{module}.py" or f"{os.path.dirname(path)}/" == module
  }


def test_the_programs_that_code_names_are_its_data():
  """Unless they run it: `launch.train` starts itself again."""
  found = set()
  for label in CODED:
    laid_out = HOUSE.files(label)
    for path in sources(label):
      for name in {x for text in names(path) for x in named_targets(text)}:
        found.add((label, name))
        started = HOUSE.files(name)
        assert started <= laid_out or path in started, (path, name)
  assert {
    ("//benchmarks:peers", "//benchmarks/contenders:apsis"),
    ("//launch:doctor", "//launch:cluster"),
    ("//tests/tasks:registry_test", "//examples"),
  } <= found


# A `py_test`, started as Bazel starts it: from the files that are declared.


def lay_out(directory, files):
  for path in files:
    target = directory / path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(os.path.join(ROOT, path), target)
  for parent, _, _ in os.walk(directory):  # As Bazel does.
    open(os.path.join(parent, "__init__.py"), "a").close()


def start(directory, path):
  return subprocess.run(
    [sys.executable, RUNNER, path],
    cwd=directory,
    env={**os.environ, "PYTHONPATH": str(directory)},
    stdout=subprocess.DEVNULL,
  ).returncode


@pytest.mark.parametrize(
  ("line", "status"),
  [
    ("def test_two(): assert True", 0),
    ("def test_two(): assert False", 1),
    ("@pytest.mark.slow\ndef test_two(): assert False", 1),
    ("import no_such_room", 2),
  ],
)
def test_a_py_test_ends_as_its_tests_do(tmp_path, line, status):
  lay_out(tmp_path, [RUNNER, "setup.cfg"])
  path = tmp_path / "tests" / "tiny_test.py"
  path.write_text(f"import pytest\ndef test_one(): assert True\n{line}\n")
  assert start(tmp_path, "tests/tiny_test.py") == status


def test_a_py_test_without_tests_fails(tmp_path):
  lay_out(tmp_path, [RUNNER, "setup.cfg"])
  (tmp_path / "tests" / "tiny_test.py").touch()
  assert start(tmp_path, "tests/tiny_test.py")


@pytest.mark.slow
def test_a_py_test_has_all_that_it_reads(tmp_path):
  label = "//tests/tasks/data:corpus_test"
  files = HOUSE.files(label)
  assert "tasks/data/pairs.tsv" in files
  lay_out(tmp_path, files)
  assert start(tmp_path, *sources(label)) == 0


# Arrows run down.


@pytest.mark.parametrize("label", TARGETS)
def test_each_arrow_is_one_of_the_map(label):
  for below in TARGETS[label].deps | TARGETS[label].data:
    if below in TARGETS:
      assert HOUSE.sees(TARGETS[label].folder, below), below
    elif not below.startswith("@"):
      folder = os.path.dirname(below)
      assert folder == TARGETS[label].folder or below in HOUSE.exported, below


@pytest.mark.parametrize("label", CODED)
def test_floors_stand_on_those_below(label):
  floor = TARGETS[label].folder.split("/")[0]
  below = {
    "engine": ("//engine",),
    "tasks": ("//tasks", CONTRACT),
    "examples": (CONTRACT,),  # As a task of one's own would.
    "launch": ("//launch", "//tasks", "//engine"),
    "benchmarks": ("//benchmarks", "//launch", "//tasks", "//engine"),
    "tests": ("//",),
  }[floor]
  for dependency in TARGETS[label].deps:
    assert dependency.startswith((*below, "@pip//")), dependency


def test_tasks_see_the_contract_only():
  for folder in ("tasks", "tasks/data", "examples"):
    assert HOUSE.sees(folder, CONTRACT)
    for wing in MAP["engine"]:
      assert not HOUSE.sees(folder, f"//engine/{wing}")


def test_only_the_run_sees_the_engine_whole():
  wings = MAP["engine"]
  assert set(wings["run"]) == set(wings) - {"run", "planning"}
  assert not any("run" in below for below in wings.values())


@pytest.mark.parametrize("floor", MAP)
def test_no_arrows_of_the_map_run_in_a_circle(floor):
  assert_no_circle(MAP[floor])


def test_no_targets_import_each_other():
  assert_no_circle({label: TARGETS[label].deps for label in CODED})


def test_no_files_import_each_other():
  assert_no_circle({path: imports(path)[0] for path in ROOMS})


def test_only_doors_read_flags():
  for path in FILES:
    if any(x.startswith("absl.flags") for x in imports(path)[1]):
      assert path.startswith(("launch/", "benchmarks/")), path


def test_the_engine_knows_no_nlp():
  """It takes schedules from Model Garden; its doors take nothing."""
  for path in FILES:
    official = {x for x in imports(path)[1] if x.startswith("official")}
    if path.startswith("engine/"):
      official -= {
        x for x in official if x.startswith("official.modeling.optimization")
      }
    if path.startswith(("engine/", "launch/", "examples/")):
      assert not official, path


def test_configs_need_no_tensorflow():
  waiting = [
    "engine/config.py",
    "engine/errors.py",
    "engine/settings.py",
    "tasks/config.py",
  ]
  for path in waiting:
    rooms, others = imports(path)
    assert {x.split(".")[0] for x in others} <= sys.stdlib_module_names, path
    waiting += rooms - set(waiting)


# The map, and the size of things.


def test_each_wing_is_in_the_map():
  folders = {os.path.dirname(x) for x in FILES if x.startswith(FLOORS)}
  assert folders == {*WINGS, *FLOORS}


@pytest.mark.parametrize("wing", [*FLOORS, *WINGS])
def test_a_wing_has_one_sentence(wing):
  docstring = ast.get_docstring(tree_of(f"{wing}/__init__.py"))
  sentence = docstring.split("\n\n")[0]
  assert HOUSE.sentences[wing] == sentence
  floor, _, inner = wing.partition("/")
  here = text_of("BUILD").split(f'"{floor}": {{')[: 1 if not inner else 2][-1]
  comment = here.split(f'"{inner}": [')[0] if inner else here
  lines = re.search(r"((?: *# .*\n)+) *$", comment)[1]
  assert " ".join(re.findall(r"# (.*)", lines)) == sentence.replace("\n", " ")


def test_the_house_stays_small():
  lines = lambda path: text_of(path).count("\n")
  ours = [x for x in ROOMS if not x.startswith("tests")]
  # A list of settings is as long as there are settings.
  settings = {"engine/config.py", "tasks/config.py"}
  assert not [x for x in ours if x not in settings and lines(x) > 300]
  rooms = collections.Counter(map(os.path.dirname, ROOMS))
  assert not [x for x, n in rooms.items() if x.startswith("engine") and n > 10]
  builds = [x for x in walk("") if os.path.basename(x) == "BUILD"]
  assert sum(map(lines, builds)) < 3 * len(ROOMS)


def test_tests_mirror_the_house():
  rooms, folders = set(ROOMS), {os.path.dirname(x) for x in ROOMS}
  without = set()
  for path in ROOMS:
    if path.startswith("tests/") and path.endswith("_test.py"):
      of = path.removeprefix("tests/").removesuffix("_test.py")
      folder, name = os.path.split(of)
      of_a_folder = folder in folders and name == os.path.basename(folder)
      if f"{of}.py" not in rooms and folder != "house" and not of_a_folder:
        without.add(of)
  assert without == set(WHOLE)


SETUP = configparser.ConfigParser()
SETUP.read(os.path.join(ROOT, "setup.cfg"))


def test_a_wheel_has_all_wings_and_what_they_read():
  floors = ("engine", "tasks", "launch")
  found = setuptools.find_packages(
    ROOT, include=SETUP["options.packages.find"]["include"].split()
  )
  assert {x.replace(".", "/") for x in found} == {
    *(x for x in (*FLOORS, *WINGS) if x.startswith(floors)),
    "examples",
  }
  data = {
    path
    for package, pattern in SETUP["options.package_data"].items()
    for path in glob.glob(
      f"{package.replace('.', '/')}/{pattern}", root_dir=ROOT
    )
  }
  assert data == {x for x in PAPERS if x.startswith(floors)}


def test_setup_cfg_names_all_that_is_imported():
  lists = [
    SETUP["options"]["install_requires"],
    *SETUP["options.extras_require"].values(),
  ]
  named = {
    re.match(r"[\w-]+", line)[0].lower().replace("-", "_")
    for lines in lists
    for line in lines.split()
  }
  named |= {"jaxlib", "protobuf"}  # jax and TensorFlow say which.
  for label in CODED:
    packages = {x for x in TARGETS[label].deps if x.startswith("@")}
    assert {x.removeprefix("@pip//") for x in packages} <= named, label


def test_the_longest_tests_exist():
  assert not [x for x in LONGEST if f"tests/{x}_test.py" not in ROOMS]
