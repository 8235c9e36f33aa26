"""Where a GPU would run the ops of a traced program, and what would wait.

The wheel of TensorFlow for Linux is built for CUDA: its registry knows the
kernels of GPUs on machines that have none, and which of their arguments lie in
the memory of the host. What reads from there what a device has computed makes
the host wait, and with it all that follows.
"""

import collections
import dataclasses
import functools
from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry
from tensorflow.python.ops.handle_data_util import get_resource_handle_data

# Where a tensor lies; a constant may lie anywhere.
CONSTANT, HOST, DEVICE = range(3)
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_BRANCHES = {
  "If": ("then_branch", "else_branch"),
  "StatelessIf": ("then_branch", "else_branch"),
  "While": ("cond", "body"),
  "StatelessWhile": ("cond", "body"),
}
_ON_HOST = (tf.int32.as_datatype_enum, tf.string.as_datatype_enum)
_RESOURCE = tf.resource.as_datatype_enum


@dataclasses.dataclass
class Placement:
  """What a program would do on a GPU.

  Attributes:
    lacking: type of an op that has no kernel there -> how many.
    waits: (op, argument) that reads on the host what is on the device -> how
      many.
    ops: type of an op outside of XLA's programs -> how many.
    compiled: ops within them.
    of_host: name and type of a variable that no GPU can hold.
  """

  lacking: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  waits: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  ops: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  compiled: int = 0
  of_host: list[tuple[str, str]] = dataclasses.field(default_factory=list)


def placement(graph: tf.Graph) -> Placement:
  """Says what the program of a traced function would do on a GPU."""
  # XLA registers its kernels with the first program that it compiles.
  tf.function(tf.negative, jit_compile=True)(tf.constant(1.0))
  definition = graph.as_graph_def()
  walk = _Walk({f.signature.name: f for f in definition.library.function})
  walk.nodes(definition.node, {})
  held = {
    dtype
    for kernel in _registered("VarHandleOp")
    if kernel.device_type in ("GPU", "DEFAULT")
    for dtype in kernel.constraint[0].allowed_values.list.type
  }
  for _, inner in graph.captures:
    for kind in get_resource_handle_data(inner).shape_and_type:
      if kind.dtype not in held:
        walk.found.of_host.append((inner.name, tf.as_dtype(kind.dtype).name))
  return walk.found


class _Walk:
  """Goes through a program, and the functions that it calls."""

  def __init__(self, library):
    self._library = library
    self.found = Placement()

  def call(self, name: str, places: Sequence[int]) -> list[int]:
    """Goes through a function; returns where its results lie."""
    function = self._library[name]
    arguments = [arg.name for arg in function.signature.input_arg]
    known = {(name, 0): at for name, at in zip(arguments, places, strict=True)}
    known = self.nodes(function.node_def, known)
    results = [function.ret[x.name] for x in function.signature.output_arg]
    return [known[_source(x, self._outputs)] for x in results]

  def nodes(self, nodes, known: Mapping) -> dict:
    """Goes through nodes; returns (name, output) -> where it lies."""
    known, waiting = dict(known), collections.deque(nodes)
    self._outputs = {
      node.name: _arguments(node, "output_arg") for node in nodes
    }
    outputs, stuck = self._outputs, 0
    while waiting:
      node = waiting.popleft()
      sources = [_source(x, outputs) for x in node.input if x[0] != "^"]
      if not all(x in known for x in sources):
        stuck += 1
        assert stuck <= len(waiting) + 1, f"{node.name} waits for ever"
        waiting.append(node)
        continue
      stuck = 0
      places = self._place(node, [known[x] for x in sources])
      self._outputs = outputs  # Calls have changed it.
      known |= {(node.name, i): at for i, at in enumerate(places)}
    return known

  def _place(self, node, inputs: list[int]) -> list[int]:
    """Places one op; returns where its outputs lie."""
    types = [kind for _, kind in _arguments(node, "output_arg")]
    if node.op in ("Placeholder", "_Arg"):
      return [HOST if x in _ON_HOST else DEVICE for x in types]
    if node.op == "Const":
      return [CONSTANT]
    if node.attr["_XlaMustCompile"].b:
      self._compile(node.attr["f"].func.name)
      self.found.ops["XlaLaunch"] += 1
      return [DEVICE] * len(types)
    if node.op in _CALLS:
      return self.call(node.attr["f"].func.name, inputs)
    if node.op in _BRANCHES:
      return self._branch(node, inputs)
    self.found.ops[node.op] += 1
    kernel = _kernel(node, "GPU") or _kernel(node, "DEFAULT")
    if kernel is None:
      self.found.lacking[node.op, *_kinds(node)] += 1
      # Softly placed on the CPU, which reads all of it.
      self._reads(node, range(len(inputs)), inputs)
      return [HOST] * len(types)
    names = [name for name, _ in _arguments(node, "input_arg")]
    held = [i for i, x in enumerate(names) if x in kernel.host_memory_arg]
    self._reads(node, held, inputs)
    if (
      inputs and all(at == CONSTANT for at in inputs) and not _is_stateful(node)
    ):
      return [CONSTANT] * len(types)
    return [
      HOST if name in kernel.host_memory_arg else DEVICE
      for name, _ in _arguments(node, "output_arg")
    ]

  def _branch(self, node, inputs):
    """Places a branch or a loop, whose decision is made on the host."""
    first, second = (node.attr[x].func.name for x in _BRANCHES[node.op])
    if node.op.endswith("If"):
      self._reads(node, [0], inputs)
      found = [self.call(x, inputs[1:]) for x in (first, second)]
      return [max(both) for both in zip(*found, strict=True)]
    places = self.call(second, inputs)
    self._reads(node, [0], self.call(first, places))
    return places

  def _reads(self, node, held, inputs) -> None:
    names = [name for name, _ in _arguments(node, "input_arg")]
    kinds = [kind for _, kind in _arguments(node, "input_arg")]
    for i in held:
      kind = kinds[i] if i < len(kinds) else None
      if inputs[i] == DEVICE and kind != _RESOURCE:
        self.found.waits[node.op, names[i] if i < len(names) else ""] += 1

  def _compile(self, name: str) -> None:
    """Goes through what XLA compiles."""
    for node in self._library[name].node_def:
      self.found.compiled += 1
      if node.op in _CALLS:
        self._compile(node.attr["f"].func.name)
        continue
      for branch in _BRANCHES.get(node.op, ()):
        self._compile(node.attr[branch].func.name)
      if _kernel(node, "XLA_GPU_JIT") is None:
        self.found.lacking[f"XLA: {node.op}", *_kinds(node)] += 1


@functools.cache
def _registered(op: str):
  return kernels.get_registered_kernels_for_op(op).kernel


def _kernel(node, device: str):
  """The kernel that runs an op on a kind of device; None: there is none."""
  for kernel in _registered(node.op):
    if kernel.device_type == device and all(
      _types(node, x.name) <= set(x.allowed_values.list.type)
      for x in kernel.constraint
    ):
      return kernel
  return None


def _types(node, attribute: str) -> set[int]:
  value = node.attr[attribute]
  if attribute not in node.attr or value.WhichOneof("value") is None:
    (default,) = (
      x.default_value
      for x in op_def_registry.get(node.op).attr
      if x.name == attribute
    )
    value = default
  return {value.type} if value.type else set(value.list.type)


def _kinds(node) -> list[str]:
  """The types of an op, to be read."""
  return [
    f"{name}={tf.as_dtype(value.type).name}"
    for name, value in sorted(node.attr.items())
    if value.type
  ]


def _is_stateful(node) -> bool:
  return op_def_registry.get(node.op).is_stateful


def _arguments(node, which: str) -> list[tuple[str, int]]:
  """Name and type of each input or output of an op."""
  found = []
  for arg in getattr(op_def_registry.get(node.op), which):
    if arg.type_list_attr:
      kinds = list(node.attr[arg.type_list_attr].list.type)
    else:
      count = node.attr[arg.number_attr].i if arg.number_attr else 1
      kind = arg.type or node.attr[arg.type_attr].type
      kinds = [kind] * count
    found += [(arg.name, kind) for kind in kinds]
  return found


def _source(text: str, outputs) -> tuple[str, int]:
  """Which output an input names: of a graph a:1, of a function a:name:1."""
  name, *rest = text.split(":")
  if len(rest) == 2:
    first = [argument for argument, _ in outputs[name]].index(rest[0])
    return name, first + int(rest[1])
  return name, int(rest[0]) if rest else 0
