"""What the code says of itself: imports, mains, the files that it names."""

import ast
import functools
import os
from collections.abc import Iterator

# Not what Bazel lays out for a test, but the whole checkout.
ROOT = os.path.realpath(__file__).rsplit("/tests/", 1)[0]
FLOORS = ("engine", "tasks", "launch", "benchmarks")
FOLDERS = (*FLOORS, "examples", "tests")


def text_of(path: str) -> str:
  """The text of a file of the house."""
  with open(os.path.join(ROOT, path)) as file:
    return file.read()


def walk(folder: str) -> Iterator[str]:
  """All files below a folder, without what is made by running."""
  made = ("runs", "build", "dist", "results")
  for parent, folders, names in os.walk(os.path.join(ROOT, folder)):
    folders[:] = sorted(
      x
      for x in folders
      if x[0] not in "._" and x not in made and not x.endswith(".egg-info")
    )
    for name in sorted(names):
      yield os.path.relpath(os.path.join(parent, name), ROOT)


FILES = [x for folder in FOLDERS for x in walk(folder) if x.endswith(".py")]
ROOMS = [x for x in FILES if not x.endswith("__init__.py")]


@functools.cache
def tree_of(path: str) -> ast.Module:
  """The syntax of a file."""
  return ast.parse(text_of(path))


def has_main(path: str) -> bool:
  """Whether a file does something when it is started."""
  return any(
    isinstance(node, ast.If)
    and ast.unparse(node.test) == "__name__ == '__main__'"
    for node in tree_of(path).body
  )


def is_a_sentence(path: str) -> bool:
  """Whether a file holds no code, but a docstring at most."""
  return all(_is_text(node) for node in tree_of(path).body)


@functools.cache
def imports(path: str) -> tuple[frozenset[str], frozenset[str]]:
  """The rooms and the other modules that a file imports, wherever it does."""
  rooms, others = set(), set()
  for node in ast.walk(tree_of(path)):
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
        names = ("/".join(parts[:n]) for n in range(len(parts), 0, -1))
        room = next((x for x in names if f"{x}.py" in ROOMS), None)
        assert room, f"{path} imports {module}, which is no room"
        rooms.add(f"{room}.py")
      else:
        others.add(module)
  return frozenset(rooms - {path}), frozenset(others)


@functools.cache
def names(path: str) -> frozenset[str]:
  """Texts in a file that may name files or modules, docstrings left out.

  `os.path.join(x, "a", "b")` names `a/b`, and `/a/b` where x is ROOT.
  """
  found = set()
  waiting = [tree_of(path)]
  while waiting:
    node = waiting.pop()
    waiting += [x for x in ast.iter_child_nodes(node) if not _is_text(x)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
      found.add(node.value)
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.path.join":
      texts = [x.value for x in node.args if isinstance(x, ast.Constant)]
      root = "/" if ast.unparse(node.args[0]) == "ROOT" else ""
      found.add(root + "/".join(map(str, texts)))
  return frozenset(found)


def _is_text(node: ast.AST) -> bool:
  return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
