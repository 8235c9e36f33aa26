"""Random bits belong to (seed, step, name), not to a replica or a layout."""

import numpy as np
import pytest
import tensorflow as tf

from engine import randomness
from engine.randomness import Stream, step_key


def stream_of(*, seed=1, step=5, first_row=0):
  key = step_key(seed, tf.constant(step, tf.int64))
  return Stream(key, first_row=first_row)


def draw(*, names=range(8), size=50, sites=1, **where):
  stream = stream_of(**where)
  names = tf.constant(list(names), tf.int32)
  return [stream.row_bits(size, names=names).numpy() for _ in range(sites)]


@pytest.mark.parametrize(
  ("key", "counter", "expected"),
  [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
    (
      (0x13198A2E, 0x03707344),
      (0x243F6A88, 0x85A308D3),
      (0xC4923A9C, 0x483DF7A0),
    ),
  ],
)
def test_threefry_gives_the_known_answers_of_its_authors(
  key, counter, expected
):
  """From `kat_vectors` of Random123: threefry2x32, 20 rounds."""
  key, counter = (
    tuple(tf.constant(x, tf.uint32) for x in pair) for pair in (key, counter)
  )
  drawn = randomness._threefry(key, counter)
  assert tuple(int(x) for x in drawn) == expected


@pytest.mark.parametrize("replicas", [2, 4, 8])
def test_the_bits_of_a_row_are_those_of_its_name(replicas):
  whole = draw(sites=2)
  order = np.random.default_rng(0).permutation(8)
  parts = np.split(order, replicas)
  drawn = [draw(names=part, sites=2) for part in parts]
  for site in (0, 1):
    joined = np.concatenate([part[site] for part in drawn])
    np.testing.assert_array_equal(joined, whole[site][order])


def test_rows_without_names_are_named_by_their_place_in_the_batch():
  x = tf.ones([8, 50])
  whole = stream_of().dropout(x, 0.5)
  late = stream_of(first_row=6).dropout(x[6:], 0.5)
  np.testing.assert_array_equal(late, whole[6:])


def test_seed_step_site_and_child_change_the_bits():
  first, second = draw(sites=2)
  child = Stream(stream_of().child_key())
  others = [
    second,
    draw(seed=2)[0],
    draw(step=6)[0],
    draw(step=2**31)[0],
    child.row_bits(50, names=tf.range(8)).numpy(),
  ]
  for other in others:
    assert np.mean(first == other) < 0.05
  np.testing.assert_array_equal(first, draw()[0])


def test_bits_are_uniform():
  drawn = draw(names=range(64), size=4096)[0].view(np.uint8)
  counts = np.bincount(drawn.reshape(-1), minlength=256)
  expected = drawn.size / 256
  chi_square = np.sum((counts - expected) ** 2 / expected)
  assert 160 < chi_square < 370  # 255 degrees of freedom: mean 255, sd 22.6.


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("size", [4096, 1001])
def test_dropout_keeps_the_mean_and_drops_the_rate(rate, size):
  x = tf.ones([64, size])
  y = stream_of().dropout(x, rate).numpy()
  assert abs(np.mean(y == 0) - round(rate * 256) / 256) < 0.006
  assert abs(np.mean(y) - 1) < 0.01
  assert len(np.unique(y)) == 2


def test_the_gradient_drops_what_the_value_drops():
  x = tf.ones([4, 40])
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = stream_of().dropout(x, 0.3)
  np.testing.assert_array_equal(tape.gradient(y, x), y)


def test_no_dropout_draws_nothing():
  x = tf.ones([2, 4])
  assert stream_of().dropout(x, 0.0) is x
