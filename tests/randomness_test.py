"""Random bits belong to (seed, step, place), not to a replica."""

import numpy as np
import pytest
import tensorflow as tf

from engine.randomness import Stream


def draw(*, seed=1, step=5, first_row=0, rows=8, size=50, sites=1):
  stream = Stream(
    seed=seed, step=tf.constant(step, tf.int64), first_row=first_row
  )
  return [stream.bytes(rows, size).numpy() for _ in range(sites)]


@pytest.mark.parametrize("replicas", [2, 4, 8])
@pytest.mark.parametrize("size", [16, 50, 384])
def test_replicas_draw_their_rows_of_the_global_draw(replicas, size):
  whole = draw(size=size, sites=2)
  rows = 8 // replicas
  parts = [
    draw(first_row=r * rows, rows=rows, size=size, sites=2)
    for r in range(replicas)
  ]
  for site in (0, 1):
    joined = np.concatenate([part[site] for part in parts])
    np.testing.assert_array_equal(joined, whole[site])


def test_seed_step_and_site_change_the_bits():
  first, second = draw(sites=2)
  others = [second, draw(seed=2)[0], draw(step=6)[0], draw(step=2**31)[0]]
  for other in others:
    assert np.mean(first == other) < 0.05
  np.testing.assert_array_equal(first, draw()[0])


def test_bits_are_uniform():
  drawn = draw(rows=64, size=4096)[0]
  counts = np.bincount(drawn.reshape(-1), minlength=256)
  expected = drawn.size / 256
  chi_square = np.sum((counts - expected) ** 2 / expected)
  assert 160 < chi_square < 370  # 255 degrees of freedom: mean 255, sd 22.6.


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_dropout_keeps_the_mean_and_drops_the_rate(rate):
  x = tf.ones([64, 4096])
  stream = Stream(seed=0, step=tf.constant(0, tf.int64))
  y = stream.dropout(x, rate, rows=64).numpy()
  assert abs(np.mean(y == 0) - round(rate * 256) / 256) < 0.004
  assert abs(np.mean(y) - 1) < 0.006
  assert len(np.unique(y)) == 2


def test_no_dropout_draws_nothing():
  x = tf.ones([2, 4])
  stream = Stream(seed=0, step=tf.constant(0, tf.int64))
  assert stream.dropout(x, 0.0, rows=2) is x
