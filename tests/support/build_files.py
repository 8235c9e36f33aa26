"""BUILD files, read as Bazel reads them: Starlark is a part of Python."""

import ast
import dataclasses
import functools
import glob
import os
import types
from collections.abc import Callable, Iterator
from typing import Any

RULES = ("py_library", "py_binary", "py_test", "filegroup", "test_suite")


@dataclasses.dataclass(frozen=True)
class Target:
  """One rule of a BUILD file; files are paths from the root."""

  kind: str
  folder: str
  srcs: tuple[str, ...] = ()
  deps: frozenset[str] = frozenset()
  data: frozenset[str] = frozenset()
  main: str = ""
  args: tuple[str, ...] = ()
  visibility: tuple[str, ...] = ()


class House:
  """All BUILD files below a root, executed."""

  def __init__(self, root: str):
    self.root = root
    self.sentences: dict[str, str] = {}  # Of each folder with a BUILD.
    self.values: dict[str, dict[str, Any]] = {}  # What its names stand for.
    self.targets: dict[str, Target] = {}
    self.groups: dict[str, tuple[str, ...]] = {}
    self.exported: set[str] = set()
    for parent, folders, names in os.walk(root):
      folders[:] = sorted(x for x in folders if x[0] != "." and x != "runs")
      if "BUILD" in names:
        folder = os.path.relpath(parent, root).replace(os.sep, "/")
        _Package(self, "" if folder == "." else folder).read()

  def sees(self, folder: str, label: str) -> bool:
    """Whether the package `folder` may depend on a target."""
    target = self.targets[label]
    return target.folder == folder or any(
      self._names(each, folder) for each in target.visibility
    )

  def _names(self, visibility: str, folder: str) -> bool:
    if visibility in self.groups:
      return any(_matches(x, folder) for x in self.groups[visibility])
    package, _, kind = visibility.partition(":")
    if package == "//visibility":
      return kind == "public"
    return _matches(package + "/..." * (kind == "__subpackages__"), folder)

  @functools.cache  # noqa: B019 Of one house, which lives as long as its tests.
  def files(self, label: str) -> frozenset[str]:
    """All files that Bazel lays out for a target: its own, and of its deps."""
    found, waiting, seen = set(), [label], set()
    while waiting:
      each = waiting.pop()
      if each in seen or each.startswith("@"):
        continue
      seen.add(each)
      if each in self.targets:
        target = self.targets[each]
        found |= {*target.srcs, target.main} - {""}
        waiting += [*target.deps, *target.data]
      else:
        found.add(each)
    return frozenset(found)


def short(label: str) -> str:
  """`//a/b:b` as `//a/b`."""
  package, _, name = label.partition(":")
  return package if name == package.rsplit("/", 1)[-1] else label


def _matches(pattern: str, folder: str) -> bool:
  if pattern.endswith("/..."):
    return f"//{folder}/".startswith(pattern[:-3])
  return pattern == f"//{folder}"


class _Package:
  """A BUILD file while it is read: what its functions do."""

  def __init__(self, house: House, folder: str):
    self._house, self._folder = house, folder
    self._visibility: tuple[str, ...] = ()

  def read(self) -> None:
    path = os.path.join(self._house.root, self._folder, "BUILD")
    with open(path) as file:
      text = file.read()
    self._house.sentences[self._folder] = ast.get_docstring(ast.parse(text))
    names = self._names()
    exec(compile(text, path, "exec"), names)
    self._house.values[self._folder] = names

  def _names(self) -> dict[str, Any]:
    rules = {kind: self._rule(kind) for kind in RULES}
    names = {
      **rules,
      "glob": self._glob,
      "package": self._package,
      "package_group": self._group,
      "exports_files": self._export,
      "native": types.SimpleNamespace(
        glob=self._glob, package_name=lambda: self._folder
      ),
    }
    names["load"] = lambda label, *wanted: names.update(
      self._load(label, wanted)
    )
    return names

  def _load(self, label: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    names = self._names()
    if not label.startswith("@"):  # Rules of elsewhere are known by name.
      path = os.path.join(self._house.root, *label[2:].split(":"))
      with open(path) as file:
        exec(compile(file.read(), path, "exec"), names)
    return {name: names[name] for name in wanted}

  def _rule(self, kind: str) -> Callable[..., None]:
    def declare(
      *, name, srcs=(), deps=(), data=(), main="", visibility=None, **other
    ):
      label = short(f"//{self._folder}:{name}")
      assert label not in self._house.targets, label
      srcs = tuple(map(self._of, srcs))
      self._house.targets[label] = Target(
        kind,
        self._folder,
        srcs=srcs,
        deps=frozenset(map(self._of, deps)),
        data=frozenset(map(self._of, data)),
        main=self._of(main) if main else srcs[0] if len(srcs) == 1 else "",
        args=tuple(other.get("args", ())),
        visibility=tuple(visibility or self._visibility),
      )

    return declare

  def _of(self, name: str) -> str:
    """A label, or the path of a file."""
    if name.startswith("@"):
      return name
    if not name.startswith(("//", ":")):
      name = f":{name}"
    package, _, last = name.partition(":")
    folder = package[2:] if package else self._folder
    path = f"{folder}/{last}".strip("/")
    if last and os.path.isfile(os.path.join(self._house.root, path)):
      return path
    return short(f"//{folder}:{last}" if last else f"//{folder}")

  def _glob(self, include, exclude=()) -> list[str]:
    top = os.path.join(self._house.root, self._folder)
    found = {x for each in include for x in _below(top, each)}
    return sorted(found - {x for each in exclude for x in _below(top, each)})

  def _package(self, default_visibility=(), **_) -> None:
    self._visibility = tuple(default_visibility)

  def _group(self, name, packages=()) -> None:
    self._house.groups[short(f"//{self._folder}:{name}")] = tuple(packages)

  def _export(self, names) -> None:
    self._house.exported |= {self._of(name) for name in names}


def _below(top: str, pattern: str) -> Iterator[str]:
  """Files of a package: what lies in a folder with its own BUILD is not."""
  for path in glob.glob(pattern, root_dir=top, recursive=True):
    parents = path.split("/")[:-1]
    inner = ("/".join(parents[: n + 1]) for n in range(len(parents)))
    if os.path.isfile(os.path.join(top, path)) and not any(
      os.path.exists(os.path.join(top, x, "BUILD")) for x in inner
    ):
      yield path
