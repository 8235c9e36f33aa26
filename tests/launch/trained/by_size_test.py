"""Batches by size have each example once, and like ones together."""

import numpy as np

from engine.task import ArraySource
from launch.trained.by_size import BySize


class Sized(ArraySource):
  def sizes(self, indices):
    return np.array([5, 1, 5, 3, 1, 2, 9])[indices]


def test_each_example_is_in_one_batch_small_ones_first():
  order = BySize(Sized({}, np.zeros(7)), batch_size=3)
  batches = [order.indices(k).tolist() for k in range(order.num_batches)]
  assert batches == [[1, 4, 5], [3, 0, 2], [6]]


def test_examples_of_one_size_keep_their_order():
  order = BySize(ArraySource({}, np.zeros(5)), batch_size=2)
  batches = [order.indices(k).tolist() for k in range(order.num_batches)]
  assert batches == [[0, 1], [2, 3], [4]]
