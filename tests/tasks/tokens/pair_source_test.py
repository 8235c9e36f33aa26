"""A source has as many shapes as pay, where it has a choice."""

import numpy as np
import pytest

from tests.tasks.model.stream_test import source_of


def shapes_of(source, batches=200):
  rng = np.random.default_rng(0)
  return {
    source.layout(rng.choice(len(source), 8), batch_size=8, shares=1).shape
    for _ in range(batches)
  }


def choose(source, program, parts=200):
  return source.choose_shapes(
    batch_size=8, shares=1, parts=parts, program=program
  )


def test_dear_programs_are_few_and_cheap_ones_many():
  source = source_of("pack", count=200)
  assert "for 200 batches" in choose(source, 1e15)
  assert len(shapes_of(source)) == 1
  assert choose(source, 1e7)
  assert len(shapes_of(source)) > 2


def test_the_choice_is_the_same_each_time():
  one, two = (source_of("pack", count=200) for _ in range(2))
  assert choose(one, 1e9) == choose(two, 1e9)
  assert shapes_of(one) == shapes_of(two)


@pytest.mark.parametrize("batching", ["pad", "bucket"])
def test_other_ways_of_batching_have_no_choice(batching):
  source = source_of(batching, count=200)
  before = shapes_of(source)
  assert choose(source, 1e15) == ""
  assert shapes_of(source) == before
