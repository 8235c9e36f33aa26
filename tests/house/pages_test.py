"""What the pages name is there: files, modules, make targets, flags."""

import ast
import functools
import glob
import os
import pathlib
import re

import pytest

from tests.support.doors import enter
from tests.support.testing import ROOT

FLOORS = ("engine", "tasks", "launch", "benchmarks", "examples", "tests")
PAGES = sorted(
  os.path.relpath(path, ROOT)
  for pattern in ("*.md", "docs/*.md", "launch/recipes/*.md")
  for path in glob.glob(os.path.join(ROOT, pattern))
)
DOORS = sorted(
  os.path.relpath(path, ROOT)[:-3].replace(os.sep, ".")
  for floor in ("launch", "benchmarks", "benchmarks/device")
  for path in glob.glob(os.path.join(ROOT, floor, "*.py"))
  if "run_door(" in pathlib.Path(path).read_text()
)
MADE_BY_RUNS = {"benchmarks/results/"}
PLACEHOLDER = re.compile(r"\b(NAME|my_\w+)\b")


@functools.cache
def text_of(page):
  with open(os.path.join(ROOT, page)) as file:
    return file.read()


def code_of(page):
  """Code of a page: spans, and lines of blocks with their continuations."""
  text = text_of(page)
  blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
  text = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
  blocks += re.findall(r"^ {4}.*$", text, re.MULTILINE)
  lines = "\n".join(blocks).replace("\\\n", " ").split("\n")
  spans = re.findall(r"`([^`]+)`", text)
  return [" ".join(each.split()) for each in (*lines, *spans)]


@functools.cache
def names_in(path):
  """Name -> names in it, of what a module defines at its top."""
  with open(path) as file:
    return _names(ast.parse(file.read()).body)


def _names(body):
  found = {}
  for node in body:
    if isinstance(node, ast.ClassDef):
      found[node.name] = _names(node.body)
    elif isinstance(node, ast.FunctionDef):
      found[node.name] = {}
    elif isinstance(node, ast.Assign | ast.AnnAssign):
      targets = getattr(node, "targets", None) or [node.target]
      found |= {x.id: {} for x in targets if isinstance(x, ast.Name)}
    elif isinstance(node, ast.ImportFrom):  # Handed on: `x as x`.
      found |= {x.name: {} for x in node.names if x.asname == x.name}
  return found


def exists(dotted):
  """Whether there is a package, a module, or a name in a module."""
  parts = dotted.split(".")
  for n in range(len(parts), 0, -1):
    path = os.path.join(ROOT, *parts[:n])
    if os.path.isdir(path):
      return n == len(parts)
    if os.path.exists(path + ".py"):
      names = names_in(path + ".py")
      for part in parts[n:]:
        if part not in names:
          return False
        names = names[part]
      return True
  return False


def flags_in(text):
  return re.findall(r"(?<![\w-])--(\w+)(?![\w-])", text)


@functools.cache
def flags_of(directory, door):
  """The names of the flags that a door takes."""
  shown = enter(directory, door, "--helpfull")
  names = re.findall(
    r"^ +(?:-\?,)?--(?:\[no\])?(\w+)[:,]", shown.out, re.MULTILINE
  )
  assert names, shown
  return {*names, *(f"no{name}" for name in names)}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
  return tmp_path_factory.mktemp("pages")


@pytest.mark.parametrize("page", PAGES)
def test_each_path_that_a_page_names_is_there(page):
  tops = "|".join((*FLOORS, "docs"))
  paths = re.findall(
    rf"(?<![\w./])(?!examples/s\b)(?:{tops})/[\w./*-]*[\w*/]", text_of(page)
  )
  missing = [
    path
    for path in paths
    if path not in MADE_BY_RUNS
    and not PLACEHOLDER.search(path)
    and not glob.glob(os.path.join(ROOT, path))
  ]
  assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_each_link_leads_to_a_file(page):
  folder = os.path.dirname(os.path.join(ROOT, page))
  links = re.findall(r"\]\(([^)#]+)\)", text_of(page))
  missing = [
    link
    for link in links
    if "://" not in link and not os.path.exists(os.path.join(folder, link))
  ]
  assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_each_module_and_name_in_it_is_there(page):
  tops = "|".join(FLOORS)
  dotted = re.findall(
    rf"(?<![\w./])(?:{tops})(?:\.\w+)+(?::[A-Z]\w+)?", text_of(page)
  )
  missing = [
    name
    for name in dotted
    if not PLACEHOLDER.search(name) and not exists(name.replace(":", "."))
  ]
  assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_each_make_target_is_there(page):
  with open(os.path.join(ROOT, "Makefile")) as file:
    targets = set(re.findall(r"^([a-z-]+):", file.read(), re.MULTILINE))
  named = [
    match[1]
    for code in code_of(page)
    if (match := re.match(r"(?:\w+=\S+ )*make ([a-z][\w-]*)", code))
  ]
  assert set(named) <= targets


@pytest.mark.parametrize("page", PAGES)
def test_each_command_starts_a_door_with_flags_that_it_takes(page, directory):
  wrong = []
  for code in code_of(page):
    command = re.search(
      r"python -m ((?:launch|benchmarks)[.\w]+)([^|#]*)", code
    )
    if not command or PLACEHOLDER.search(command[1]):
      continue
    door, arguments = command.groups()
    assert door in DOORS, door
    own, _, rest = arguments.partition(" -- ")
    wrong += [
      f"{module} --{flag}"
      for module, text in ((door, own), ("launch.train", rest))
      for flag in flags_in(text)
      if flag not in flags_of(directory, module)
    ]
  assert not wrong


@pytest.mark.parametrize("page", PAGES)
def test_each_flag_that_stands_alone_is_one_of_some_door(page, directory):
  known = set().union(*(flags_of(directory, door) for door in DOORS))
  alone = [code for code in code_of(page) if code.startswith("--")]
  assert {flag for code in alone for flag in flags_in(code)} <= known
