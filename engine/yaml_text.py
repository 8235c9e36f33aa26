"""Reads YAML that anybody may have written: bounded in size, depth and time.

A few lines of YAML can stand for billions of values (an alias of aliases), for
themselves, or for what Python cannot build. Settings need none of that.
"""

import collections
import re
from typing import Any

import yaml

from engine.errors import quoted, words_of

LONGEST = 2**18  # Characters.
_DEEPEST = 32
_MOST = 2**16  # Values, each as often as it is named.


class _Loader(yaml.SafeLoader):
  """PyYAML's safe one, without what nobody means by a setting.

  YAML 1.1 takes 1:30 for 90 and 010 for 8; and of a name that is given twice
  it silently keeps one value.
  """

  _depth = 0

  def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
    self._depth += 1
    if self._depth > _DEEPEST:
      raise ValueError(f"it is nested more than {_DEEPEST} deep")
    node = super().compose_node(parent, index)
    self._depth -= 1
    return node


_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_Loader.yaml_implicit_resolvers = {
  first: [x for x in found if x[0] not in (_INT, _FLOAT)]
  for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
  _FLOAT,
  re.compile(
    r"[-+]?(\d[\d_]*\.[\d_]*([eE][-+]\d+)?|\.\d[\d_]*([eE][-+]\d+)?"
    r"|\.(inf|Inf|INF))$|\.(nan|NaN|NAN)$",
    re.ASCII,
  ),
  list("-+0123456789."),
)
_Loader.add_implicit_resolver(
  _INT,
  re.compile(r"[-+]?(0|[1-9][\d_]*|0b[01_]+|0x[\da-fA-F_]+)$", re.ASCII),
  list("-+0123456789"),
)


def parse(text: str | bytes) -> Any:
  """Returns what a text of YAML holds.

  Args:
    text: one document; bytes are UTF-8, or UTF-16 with its mark.

  Raises:
    ValueError: where it is no YAML, or more than settings can be; in a few
      words.
  """
  if len(text) > LONGEST:
    raise ValueError(f"it has more than {LONGEST:,} characters")
  try:
    loader = _Loader(text)
    root = loader.get_single_node()
    if root is None:
      return None
    _size(root, {})
    return loader.construct_document(root)
  except yaml.MarkedYAMLError as error:
    mark = error.problem_mark or error.context_mark
    place = f" in line {mark.line + 1}" if mark else ""
    raise ValueError(f"{error.problem or error.context}{place}") from error
  except Exception as error:
    # PyYAML's constructors fail as what they call does: `!!bool x` by KeyError.
    raise ValueError(words_of(error)) from error


def _size(node: yaml.Node, sizes: dict[yaml.Node, int | None]) -> int:
  """Counts the values below a node.

  Raises:
    ValueError: where there are too many, a node is in itself, or a name is
      there twice.
  """
  if node in sizes:
    size = sizes[node]
    if size is None:
      raise ValueError("a value holds itself")
    return size
  sizes[node] = None
  below: list[yaml.Node] = []
  if isinstance(node, yaml.SequenceNode):
    below = node.value
  elif isinstance(node, yaml.MappingNode):
    names = [key.value for key, _ in node.value if key.tag.endswith(":str")]
    if len(set(names)) < len(names):
      twice, _ = collections.Counter(names).most_common(1)[0]
      raise ValueError(f"{quoted(twice)} is given twice")
    below = [x for pair in node.value for x in pair]
  size = 1 + sum(_size(x, sizes) for x in below)
  if size > _MOST:
    raise ValueError(f"it holds more than {_MOST:,} values")
  sizes[node] = size
  return size
