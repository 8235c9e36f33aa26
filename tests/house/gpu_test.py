"""The programs of a run are fit for a GPU, as TensorFlow's registry has it.

What is traced here is what a GPU would be given; nothing has run on one.
"""

import pytest
import tensorflow as tf

from engine.measure.ledger import Ledger
from engine.planning.lowering import compile_only_strategy
from engine.run.builder import Builder
from tasks.encoders.bert import named
from tests.support.kernels import placement
from tests.support.testing import tiny_config, tiny_task


@pytest.fixture(autouse=True)
def on_a_gpu(monkeypatch):
  """Programs are made as for a GPU."""
  kind_of = lambda strategy: "GPU"
  monkeypatch.setattr("engine.step.program_cost.kind_of", kind_of)


def programs(task, config, strategy=None, workers=0):
  """The programs of a train step and of an eval step, traced."""
  strategy = strategy or compile_only_strategy(max(1, workers))
  builder = Builder(
    config=config, task=task, strategy=strategy, ledger=Ledger()
  )
  _, trainer, evaluator = builder.parts(
    task.source("train"), task.source("dev")
  )
  step = (
    tf.TensorSpec([], tf.int64),
    tf.TensorSpec([], tf.bool),
    tf.TensorSpec([workers, 2]),
  )
  return {
    "train": trace(trainer, trainer.device_step.program, *step),
    "eval": trace(evaluator, evaluator._program),
  }


def trace(loop, program, *more):
  batch, arrays = loop.inputs.fetch(0)
  function = tf.function(program(batch.layout.shape))
  return function.get_concrete_function(arrays, *more).graph


@pytest.mark.parametrize(
  ("batching", "precision"),
  [
    ("pack", "float16"),
    ("pad", "bfloat16"),
    pytest.param("pack", "float32", marks=pytest.mark.slow),
    pytest.param("pack", "bfloat16", marks=pytest.mark.slow),
    pytest.param("pad", "float32", marks=pytest.mark.slow),
    pytest.param("pad", "float16", marks=pytest.mark.slow),
  ],
)
def test_a_gpu_takes_each_step_whole_and_waits_for_nobody(batching, precision):
  config = tiny_config(train={"precision": precision}, batching=batching)
  for name, graph in programs(tiny_task(batching=batching), config).items():
    found = placement(graph)
    assert not found.lacking, name
    assert not found.waits, name
    assert not found.of_host, name
    assert found.compiled > 300, name
    assert found.ops.total() < 20, (name, found.ops)


@pytest.mark.parametrize("train", [{}, {"accumulate_steps": 2}])
def test_several_workers_add_up_outside_and_wait_for_nobody_either(train):
  config = tiny_config(train={"precision": "float16", **train})
  for name, graph in programs(tiny_task(), config, workers=2).items():
    found = placement(graph)
    assert not found.lacking, name
    assert not found.waits, name
    assert not found.of_host, name
    # Before the sum, and behind it.
    assert found.ops["XlaLaunch"] == (2 if name == "train" else 1)
    assert found.ops["CollectiveReduceV2"] == (name == "train")
    assert found.ops.total() < 100, (name, found.ops)


@pytest.mark.slow
def test_a_step_of_berts_depth_asks_each_of_several_gpus_for_few_ops(
  monkeypatch,
):
  """As many variables as BERT-base has, and as many packs; all narrower."""
  monkeypatch.setattr("engine.run.builder.kind_of", lambda strategy: "GPU")
  monkeypatch.setitem(named.RANDOM["tiny"], "num_hidden_layers", 12)
  config = tiny_config(runtime={"pack_megabytes": 0.03})
  # Collectives, as between GPUs.
  strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
  found = placement(programs(tiny_task(), config, strategy)["train"])
  assert not found.waits and not found.of_host
  assert found.compiled > 2 * 200  # Variables, on both.
  assert found.ops["CollectiveReduceV2"] >= 2 * 12
  assert found.ops.total() < 2 * 300, found.ops


def test_op_by_op_there_is_a_kernel_for_each_and_waits_are_known():
  """With --noxla; index arrays of int32 are the host's then."""
  config = tiny_config(runtime={"xla": False})
  for name, graph in programs(tiny_task(), config).items():
    found = placement(graph)
    assert not found.lacking, name
    assert found.waits.total() < 20, (name, found.waits)


def test_an_op_without_a_kernel_is_found_in_programs_and_in_those_of_xla():
  compiled = tf.function(tf.strings.as_string, jit_compile=True)
  for function, expected in (
    (lambda x: tf.strings.as_string(tf.argmax(x)), {"ArgMax", "AsString"}),
    (lambda x: compiled(x), {"XLA: AsString"}),
  ):
    traced = tf.function(function).get_concrete_function(
      tf.TensorSpec([3], tf.int32)
    )
    found = {op for op, *_ in placement(traced.graph).lacking}
    assert found - {"XLA: Identity"} == expected  # It has none of strings.


def test_what_the_host_reads_of_the_device_is_a_wait():
  variable = tf.Variable([1.0, 2.0])

  def asks(x):
    return tf.cond(variable[0] > x, lambda: x, lambda: -x)

  def calls(x):
    return tf.numpy_function(lambda y: y, [x + variable], tf.float32)

  spec = tf.TensorSpec([], tf.float32)
  for function, op in ((asks, "StatelessIf"), (calls, "PyFunc")):
    graph = tf.function(function).get_concrete_function(spec).graph
    found = placement(graph)
    assert [name for name, _ in found.waits] == [op]
