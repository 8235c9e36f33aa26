"""Steps become programs for a TPU, or are refused with their op and line."""

import inspect

import pytest
import tensorflow as tf

from engine.errors import UserError
from engine.measure.ledger import Ledger
from engine.planning.lowering import compile_only_strategy, lower, replica_specs
from engine.run.builder import Builder
from tests.support.testing import LineTask, tiny_config, tiny_task

SPECS = {"x": tf.TensorSpec([16, 8])}


def prints(batch):
  tf.print(batch["x"])
  return batch["x"]


def calls_python(batch):
  return tf.py_function(lambda x: x, [batch["x"]], tf.float32)


def calls_what_prints(batch):
  return tf.function(prints)(batch)


def reads_a_string(batch):
  return tf.strings.as_string(batch["x"])


def takes_a_shape_from_a_value(batch):
  return tf.zeros([tf.cast(batch["x"][0, 0], tf.int32)])


def masks(batch):
  return tf.boolean_mask(batch["x"], batch["x"][:, 0] > 0)


def finds(batch):
  return tf.where(batch["x"] > 0)


def slices(batch):
  return batch["x"][: tf.cast(batch["x"][0, 0], tf.int32)]


def line_of(step, text):
  """Where a step has some text: file:line."""
  lines, first = inspect.getsourcelines(step)
  (place,) = (i for i, line in enumerate(lines) if text in line)
  return f"tests/engine/planning/lowering_test.py:{first + place}"


@pytest.mark.parametrize(
  ("step", "op", "text"),
  [
    (prints, "StringFormat", "tf.print"),
    (calls_python, "EagerPyFunc", "tf.py_function"),
    (reads_a_string, "AsString", "as_string"),
    (takes_a_shape_from_a_value, "Fill", "tf.zeros"),
  ],
)
def test_what_xla_cannot_take_is_refused_with_op_and_line(step, op, text):
  with pytest.raises(UserError) as refused:
    lower(step, SPECS, compile_only_strategy(1))
  message = str(refused.value)
  assert f"op {op} (" in message
  assert line_of(step, text) in message
  assert text in message
  assert "\n" not in message


def test_an_op_inside_of_a_function_is_named_with_its_line():
  with pytest.raises(UserError) as refused:
    lower(calls_what_prints, SPECS, compile_only_strategy(1))
  assert "op StringFormat" in str(refused.value)
  assert line_of(prints, "tf.print") in str(refused.value)


def test_a_table_of_the_host_is_refused_with_op_and_line():
  initializer = tf.lookup.KeyValueTensorInitializer([1, 2], [3, 4])
  table = tf.lookup.StaticHashTable(initializer, -1)

  def step(batch):
    return table.lookup(tf.cast(batch["x"], tf.int32))

  with pytest.raises(UserError) as refused:
    lower(step, SPECS, compile_only_strategy(1))
  assert "LookupTableFindV2" in str(refused.value)
  assert line_of(step, "table.lookup") in str(refused.value)


def test_python_that_asks_for_a_value_is_refused_with_its_line():
  def step(batch):
    return 1.0 if batch["x"][0, 0] > 0 else 2.0

  with pytest.raises(UserError) as refused:
    lower(step, SPECS, compile_only_strategy(1))
  assert line_of(step, "1.0 if") in str(refused.value)


@pytest.mark.parametrize(
  ("step", "op", "text"),
  [
    (masks, "Where", "tf.boolean_mask"),
    (finds, "Where", "tf.where"),
    (slices, "StridedSlice", "[:"),
  ],
)
def test_sizes_that_the_device_alone_knows_are_flagged(step, op, text):
  lowered = lower(step, SPECS, compile_only_strategy(1))
  assert b"set-dimension-size" in lowered.hlo
  (found,) = lowered.dynamic
  assert found.startswith(f"op {op} (")
  assert line_of(step, text) in found


@pytest.mark.parametrize("replicas", [1, 4])
@pytest.mark.parametrize(
  ("make_task", "train", "runtime"),
  [
    (tiny_task, {}, {}),
    (lambda: LineTask(dropout=0.25), {}, {}),
    (lambda: LineTask(dropout=0.25), {"accumulate_steps": 2}, {}),
    (lambda: LineTask(dropout=0.25), {"precision": "float16"}, {}),
    (lambda: LineTask(dropout=0.25), {}, {"xla": True}),
  ],
  ids=["pairs", "line", "accumulated", "float16", "xla"],
)
def test_the_steps_that_run_are_the_steps_that_lower(
  make_task, train, runtime, replicas
):
  """Nothing is flagged; four replicas sum their gradients, one does not."""
  strategy, task = compile_only_strategy(replicas), make_task()
  assert strategy.num_replicas_in_sync == replicas
  builder = Builder(
    config=tiny_config(
      train={"global_batch_size": 16, **train}, runtime=runtime
    ),
    task=task,
    strategy=strategy,
    ledger=Ledger(),
  )
  _, trainer, evaluator = builder.parts(
    task.source("train"), task.source("dev")
  )
  before = [v.numpy() for v in trainer.optimizer.variables]
  for loop in (trainer, evaluator):
    shape = loop.inputs.layout(0).shape
    specs = replica_specs(loop.inputs.source, shape, replicas)
    assert specs["weights"].shape[0] * replicas == shape[0]
    lowered = lower(loop.replica_step, specs, strategy)
    assert lowered.dynamic == ()
    sums = replicas > 1 and loop is trainer
    assert (b"all-reduce" in lowered.hlo) == sums
  for old, new in zip(before, trainer.optimizer.variables, strict=True):
    assert (old == new.numpy()).all()  # Nothing ran.
