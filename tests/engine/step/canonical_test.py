"""Sums have the same bits, whatever the replicas that computed their terms."""

import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.grappler import tf_optimizer

from engine.errors import UserError
from engine.loop.boundary import Boundary
from engine.measure.ledger import Ledger
from engine.run.builder import Builder
from engine.step.canonical import (
  alone,
  own_shares,
  sum_over_replicas,
  tree_sum,
)
from tests.support.testing import (
  LineTask,
  acting_at,
  strategy_of,
  tiny_config,
  tiny_task,
)
from tests.support.training import HalfTask, lines, run, weights

RANDOM = np.random.default_rng(0)
# Numbers whose sum depends on the order in which they are added.
TERMS = (
  RANDOM.normal(size=[8, 7]) * 10.0 ** RANDOM.integers(-6, 6, [8, 7])
).astype(np.float32)
ROWS = RANDOM.normal(size=[8, 3, 2]).astype(np.float32)
WHERE = RANDOM.integers(0, 4, [8, 3])


def halves(terms):
  """The tree, as its definition has it."""
  if len(terms) == 1:
    return terms[0]
  middle = len(terms) // 2
  return halves(terms[:middle]) + halves(terms[middle:])


def test_the_order_of_the_sum_matters_here():
  orders = {
    sum(TERMS[i] for i in RANDOM.permutation(8)).tobytes() for _ in "123"
  }
  assert len(orders) > 1


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_replicas_add_the_same_tree(replicas):
  strategy = strategy_of(replicas)
  own = 8 // replicas

  @tf.function
  def total():
    def of_a_replica():
      replica = tf.distribute.get_replica_context()
      first = replica.replica_id_in_sync_group * own

      def terms(i):
        rows = tf.gather(ROWS, first + i), tf.gather(WHERE, first + i)
        return [tf.gather(TERMS, first + i), tf.IndexedSlices(*rows, None)]

      shapes = [tf.TensorShape([7]), tf.TensorShape([4, 2])]
      dense, rows = sum_over_replicas(replica, tree_sum(terms, own), shapes)
      return dense, tf.convert_to_tensor(rows)

    return strategy.run(of_a_replica)

  dense, table = (strategy.experimental_local_results(x) for x in total())
  assert len(dense) == replicas
  for found in dense:
    assert found.numpy().tobytes() == halves(TERMS).tobytes()
  expected = np.zeros([4, 2], np.float32)
  for where, row in zip(WHERE.ravel(), ROWS.reshape([-1, 2]), strict=True):
    expected[where] += row
  for found in table:
    assert found.numpy().tobytes() == expected.tobytes()


def test_the_tree_stays_where_its_terms_are_parts_of_one_tensor():
  """TensorFlow's optimizer makes one sum of additions whose shapes it knows.

  So the losses of two workers, which gather them, were added in another order
  than those of one device.
  """
  total = tf.function(lambda x: tree_sum(lambda i: [x[i]], 8))
  (found,) = total(tf.constant(TERMS))
  assert found.numpy().tobytes() == halves(TERMS).tobytes()
  for term in range(7):
    (found,) = total(tf.constant(TERMS[:, term]))
    assert found.numpy() == halves(TERMS[:, term])


def test_a_share_is_computed_apart_from_its_caller():
  share = alone(lambda x: [x * 2.0])
  graph = (
    tf.function(lambda x: tree_sum(lambda i: share(x), 4))
    .get_concrete_function(tf.TensorSpec([3]))
    .graph
  )
  calls = [x for x in graph.get_operations() if "PartitionedCall" in x.type]
  additions = [x for x in calls if len(x.inputs) == 2]
  calls = [x for x in calls if x not in additions]
  assert (len(calls), len(additions)) == (4, 3)
  for each in (calls, additions):
    (function,) = {x.get_attr("f").name for x in each}  # Traced once.
    assert graph._get_function(function).definition.attr["_noinline"].b
  # One after the other: the activations of one share exist at a time.
  assert all(x.control_inputs for x in calls[1:])


def optimized(graph):
  """What TensorFlow makes of a traced function before it runs."""
  config = tf.compat.v1.ConfigProto()
  config.graph_options.rewrite_options.min_graph_nodes = -1
  config.graph_options.rewrite_options.meta_optimizer_iterations = 2
  with graph.as_default():
    meta = tf.compat.v1.train.export_meta_graph(graph=graph)
  meta.collection_def["train_op"].node_list.value.extend(
    [x.op.name for x in graph.outputs]
  )
  return tf_optimizer.OptimizeGraph(config, meta)


@pytest.mark.parametrize("batching", ["pad", "pack"])
def test_a_share_is_compiled_once(batching):
  """Of one with a constant argument TensorFlow makes copies."""
  builder = Builder(
    config=tiny_config(
      runtime={"reproducible": True, "canonical_shares": 4}, batching=batching
    ),
    task=(task := tiny_task(batching=batching)),
    strategy=strategy_of(1),
    ledger=Ledger(),
  )
  _, trainer, evaluator = builder.parts(
    task.source("train"), task.source("dev")
  )
  step = [
    tf.TensorSpec([], tf.int64),
    tf.TensorSpec([], tf.bool),
    tf.TensorSpec([0, 2]),
  ]
  for loop, program, more in (
    (trainer, trainer.device_step.program, step),
    (evaluator, evaluator._program, []),
  ):
    batch, arrays = loop.inputs.fetch(0)
    function = tf.function(program(batch.layout.shape))
    graph = function.get_concrete_function(arrays, *more).graph
    names = [
      node.attr["f"].func.name
      for node in optimized(graph).node
      if node.op == "StatefulPartitionedCall"
    ]
    shares = [x for x in names if x.startswith("__inference_whole")]
    assert len(shares) == 4 and len(set(shares)) == 1, names


@pytest.mark.parametrize(
  "precision, shapes",
  [
    ("float32", [(1, 1), (4, 1), (2, 2), (1, 8)]),
    ("float16", [(1, 1), (2, 2)]),
  ],
)
def test_one_training_whatever_computes_it(tmp_path, precision, shapes):
  """With dropout, accumulation, evaluations, and a scale that overflows."""
  for replicas, parts in shapes:
    task = HalfTask() if precision == "float16" else LineTask(dropout=0.25)
    found = run(
      tmp_path / f"{replicas}x{parts}",
      replicas,
      task,
      train={
        "train_steps": 6,
        "global_batch_size": 16,
        "accumulate_steps": parts,
        "precision": precision,
      },
      runtime={"steps_per_loop": 1, "reproducible": True},
    )
    assert found["replicas"] == replicas
  first, *others = [tmp_path / f"{n}x{parts}" for n, parts in shapes]
  timed = {"ledger", "work", "examples_per_second", "steps_per_second"}
  points = lambda path: [
    {k: v for k, v in row.items() if k not in timed}
    for row in lines(path, None)
  ]
  skipped = sum(row.get("skipped_steps", 0) for row in points(first))
  assert bool(skipped) == (precision == "float16")
  for other in others:
    assert points(other) == points(first)
    for name, value in weights(first).items():
      assert weights(other)[name].tobytes() == value.tobytes(), name


def test_a_run_moves_between_topologies(tmp_path, monkeypatch):
  settings = {
    "train": {"train_steps": 6, "global_batch_size": 16},
    "runtime": {"reproducible": True, "steps_per_loop": 1},
    "checkpoint": {"checkpoint_interval": 2},
  }
  whole = run(tmp_path / "whole", 1, LineTask(dropout=0.25), **settings)

  def killed():
    raise KeyboardInterrupt

  for replicas, step in ((4, 3), (1, 5), (2, 99)):
    stop = pytest.raises(KeyboardInterrupt) if step < 6 else nullcontext()
    with monkeypatch.context() as patch, stop:
      patch.setattr(Boundary, "check", acting_at(step, killed))
      moved = run(
        tmp_path / "moved", replicas, LineTask(dropout=0.25), **settings
      )
  assert moved["weights_sha256"] == whole["weights_sha256"]
  assert moved["eval"] == whole["eval"] and moved["restarts"] == 2


@pytest.mark.parametrize(
  "shares, replicas, parts", [(8, 3, 1), (8, 16, 1), (8, 4, 4), (2, 2, 3)]
)
def test_replicas_that_own_no_subtree_are_refused(shares, replicas, parts):
  with pytest.raises(UserError, match=f"`canonical_shares` is {shares}, which"):
    own_shares(shares, replicas, parts)


def test_shares_that_no_tree_of_halves_adds_are_refused():
  with pytest.raises(UserError, match="power of two"):
    dataclasses.replace(tiny_config().runtime, canonical_shares=6)


def test_a_resume_with_other_shares_is_refused(tmp_path):
  settings = {"train": {"train_steps": 2, "global_batch_size": 16}}
  runtime = {"reproducible": True, "canonical_shares": 4}
  run(tmp_path, 1, LineTask(), runtime=runtime, **settings)
  for changed in ({"canonical_shares": 8}, {"reproducible": False}):
    with pytest.raises(UserError, match=next(iter(changed))):
      run(tmp_path, 1, LineTask(), runtime=runtime | changed, **settings)
