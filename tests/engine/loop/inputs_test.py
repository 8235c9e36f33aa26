"""Which shapes the batches of a run have."""

import pytest

from engine.loop.inputs import Inputs
from engine.loop.order import Order
from tests.support.testing import strategy_of, tiny_task


@pytest.mark.parametrize("canonical", [True, False])
def test_canonical_shapes_are_those_of_one_device(canonical):
  """Eight shares of a batch, whoever computes how many of them."""
  source = tiny_task().source("train")

  def chosen(replicas, program):
    return Inputs(
      source=source,
      order=Order(
        num_examples=len(source),
        batch_size=32,
        num_positions=32 * 200,
        seed=0,
      ),
      strategy=strategy_of(replicas),
      batch_size=32,
      parts=8 // replicas,
      program=program,
      canonical=canonical,
    ).choice.partition(" tokens ")[0]

  costs = [10.0**exponent for exponent in range(8, 13)]
  alone, *others = (
    [chosen(replicas, program) for program in costs] for replicas in (1, 2, 4)
  )
  assert len({*alone}) > 2
  assert all((other == alone) == canonical for other in others)
