"""From a step to the program that a compiler takes, without its device.

`tf.function` lowers a step to HLO from the shapes of its arguments alone: no
batch is made and nothing runs. What XLA cannot take is refused here, with the
op and the line of the user's code. That is stricter than a TPU strategy which
may place ops softly: it moves `tf.print` to the host, and waits for it.
"""

import dataclasses
import itertools
import linecache
import os
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from engine.errors import UserError
from engine.task import TOTAL, Source

# What XLA inserts where a size is known to the device alone.
_DYNAMIC = "set-dimension-size"
# Code that is not the user's.
_FOREIGN = re.compile(
  r"-packages/(tensorflow|tf_keras|keras|orbit|official)/|"
  r"engine/planning/lowering\.py$"
)


@dataclasses.dataclass(frozen=True)
class Lowered:
  """One replica's program.

  Attributes:
    hlo: a serialized HloModuleProto.
    dynamic: the ops whose sizes depend on values, with their lines of code.
      The compiler pads them to their largest size; they are slow on a TPU.
    handles: of the variables that it takes behind the arrays, in this order.
  """

  hlo: bytes
  dynamic: tuple[str, ...]
  handles: tuple[tf.Tensor, ...] = ()


def compile_only_strategy(replicas: int) -> tf.distribute.Strategy:
  """Builds a strategy whose one traced replica is one of `replicas`.

  What a step sums over replicas becomes an all-reduce over all of them, so
  the step is lowered as it stands. It is for `lower` only: were it run, the
  sum would wait for replicas that do not exist. The traced replica is number
  0. The three names it overrides are TensorFlow's own, not public: a test
  holds them to the tested version.
  """
  strategy = tf.distribute.OneDeviceStrategy("CPU:0")
  if replicas == 1:
    return strategy
  instances = itertools.count(1)

  def sum_of(value):
    return tf.raw_ops.CollectiveReduceV2(
      input=tf.convert_to_tensor(value),
      group_size=replicas,
      group_key=1,
      instance_key=next(instances),
      ordering_token=[],
      merge_op="Add",
      final_op="Id",
    )

  extended: Any = type(strategy.extended)

  class OneOfMany(extended):
    """`OneDeviceStrategy`'s innards, with peers."""

    @property
    def _num_replicas_in_sync(self):
      return replicas

    def _use_merge_call(self):
      return False

    def _replica_ctx_all_reduce(self, reduce_op, value, options=None):
      del options
      assert reduce_op == tf.distribute.ReduceOp.SUM, reduce_op
      return tf.nest.map_structure(sum_of, value)

  strategy.extended.__class__ = OneOfMany
  return strategy


def replica_specs(
  source: Source, shape: Sequence[int], replicas: int
) -> dict[str, tf.TensorSpec]:
  """Returns name -> spec of one replica's rows of a batch of `shape`."""
  return {
    TOTAL: tf.TensorSpec([], tf.float32),
    **{
      name: tf.TensorSpec(
        [spec.shape[0] // replicas, *spec.shape[1:]], spec.dtype
      )
      for name, spec in source.signature(tuple(shape)).items()
    },
  }


def lower(
  step: Callable[[dict[str, tf.Tensor]], Any],
  specs: Mapping[str, tf.TensorSpec],
  strategy: tf.distribute.Strategy,
  *,
  whole: bool = False,
) -> Lowered:
  """Lowers one replica's step.

  Args:
    step: takes a replica's batch; `Evaluator.replica_step` for one. All of its
      variables exist, those of the optimizer too.
    specs: name -> spec of the replica's part of a batch.
    strategy: of `compile_only_strategy`; the step's variables are its own.
    whole: whether the step gives it to the replicas by itself.

  Raises:
    UserError: where XLA cannot take the step, with the op and the line.
  """
  names = list(specs)

  def flat(*arrays):  # The lowering below takes no nested specs.
    batch = dict(zip(names, arrays, strict=True))
    return step(batch) if whole else strategy.run(step, (batch,))

  # No AutoGraph: the engine's loops convert no step either.
  function = tf.function(flat, jit_compile=True, autograph=False)
  try:
    graph = function.get_concrete_function(*specs.values()).graph
  except UserError:
    raise
  except (tf.errors.OpError, ValueError, TypeError) as error:
    raise _refused(error, None) from error
  try:
    compiler_ir = function.experimental_get_compiler_ir(*specs.values())
    # The plain wheel has no TPU kernels; the CPU's lower to the same HLO.
    hlo = compiler_ir(stage="hlo_serialized", platform_name="CPU")
    dynamic: tuple[str, ...] = ()
    if _DYNAMIC.encode() in hlo:
      text = compiler_ir(stage="hlo", platform_name="CPU")
      dynamic = tuple(_dynamic_ops(text, graph)) or (_DYNAMIC,)
  except (tf.errors.OpError, ValueError, TypeError) as error:
    raise _refused(error, graph) from error
  handles = tuple(outer for outer, _ in graph.captures)
  return Lowered(hlo, dynamic, handles)


def _refused(error: Exception, graph: tf.Graph | None) -> UserError:
  """Says which op, of which line, XLA does not take."""
  message = str(error)
  node = re.search(r"\{\{node (.+?)\}\}|to node `(.+?)`", message)
  if graph is None:
    culprit = f"code {_line(traceback.extract_tb(error.__traceback__))}"
  elif node:
    culprit = _describe(graph, node[1] or node[2], message)
  elif "get_compiler_ir.cc" in message:
    culprit = "; ".join(_describe(graph, op) for op in _host_users(graph))
    message = "it reads a table, iterator or writer, which lives on the host"
  else:
    culprit = "an op"
  if "No registered" in message:
    message = "XLA has no kernel for it: it runs on the host alone"
  elif "must be a compile-time constant" in message:
    message = "a shape is taken from a value, but must be known before"
  reason = message.removeprefix("Failed getting HLO text: '")
  reason = re.split(r"\n|\. ", reason)[0]
  return UserError(
    f"The step cannot be compiled by XLA: {culprit} ({reason}); move it out "
    "of the step."
  )


def _dynamic_ops(text: str, graph: tf.Graph) -> Iterable[str]:
  """Finds the ops of sizes that the device alone knows, in HLO as text."""
  names = re.findall(rf" {_DYNAMIC}\(.*op_name=\"(.+?)\"", text)
  return dict.fromkeys(_describe(graph, name) for name in names)


def _host_users(graph: tf.Graph) -> list[str]:
  """Names the ops that read a captured resource which is no variable."""
  variables = {id(variable.handle) for variable in graph.variables}
  held = {
    id(inner)
    for outer, inner in graph.captures
    if outer.dtype == tf.resource and id(outer) not in variables
  }
  return [
    op.name
    for op in graph.get_operations()
    if any(id(tensor) in held for tensor in op.inputs)
  ]


def _describe(graph: tf.Graph, name: str, message: str = "") -> str:
  """Returns the type, the name and the user's line of an op.

  Args:
    graph: of the step.
    name: of the op.
    message: knows lines of ops inside of functions that the step calls.
  """
  try:
    op = graph.get_operation_by_name(name)
  except (KeyError, ValueError):
    lines = re.findall(r'File "(.+?)", line (\d+), in (\S+)', message)
    frames = [traceback.FrameSummary(f, int(n), g) for f, n, g in lines]
    return f"op {name} {_line(frames)}"
  return f"op {op.type} ({name}) {_line(op.traceback)}"


def _line(frames: Sequence[traceback.FrameSummary]) -> str:
  """Returns the innermost line that is not TensorFlow's or ours."""
  own = [
    frame
    for frame in frames
    if not _FOREIGN.search(frame.filename.replace(os.sep, "/"))
  ]
  if not own:
    return "of no known line"
  name, number = own[-1].filename, own[-1].lineno
  text = linecache.getline(name, number or 0).strip()
  path = os.path.relpath(name)
  path = name if path.startswith("..") else path
  return f"at {path}:{number}" + (f" `{text}`" if text else "")
