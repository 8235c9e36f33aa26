"""Gradients are clipped alike, whether they are tables or rows."""

import numpy as np
import pytest
import tensorflow as tf

from engine.step.norms import clip_by_global_norm, squares_of
from engine.step.sums import merged, packed, unpacked


def test_clipping_scales_all_gradients_alike():
  gradients = [tf.constant([3.0]), tf.constant([[4.0]])]

  def clip(limit, taken=True):
    return clip_by_global_norm(
      gradients,
      limit,
      squares=squares_of(gradients),
      taken=tf.constant(taken),
    )

  clipped, norm = clip(1.0)
  assert float(norm) == pytest.approx(5)
  assert [float(tf.squeeze(g)) for g in clipped] == pytest.approx([0.6, 0.8])
  for limit in (10.0, 0.0):
    same, _ = clip(limit)
    assert [float(tf.squeeze(g)) for g in same] == [3, 4]
  gradients[0] = tf.fill(gradients[0].shape, float("nan"))
  nothing, norm = clip(1.0, taken=False)
  assert [float(tf.squeeze(g)) for g in nothing] == [0, 0]
  assert np.isnan(float(norm))


def test_merged_rows_are_the_table_and_have_its_squares():
  indices = tf.constant([4, 0, 4, 2, 0, 4])
  values = tf.random.stateless_normal([6, 3], [0, 1])
  table = tf.math.unsorted_segment_sum(values, indices, 7)
  rows = merged(values, indices, tf.TensorShape([7, 3]))
  assert rows.values.shape == values.shape
  assert np.array_equal(tf.convert_to_tensor(rows), table)
  assert np.isclose(squares_of([rows])[0], squares_of([table])[0], rtol=1e-6)
  clipped, norm = clip_by_global_norm(
    [rows], 0.1, squares=squares_of([rows]), taken=tf.constant(True)
  )
  whole, same = clip_by_global_norm(
    [table], 0.1, squares=squares_of([table]), taken=tf.constant(True)
  )
  assert np.isclose(norm, same, rtol=1e-6)
  np.testing.assert_allclose(
    tf.convert_to_tensor(clipped[0]), whole[0], rtol=1e-6
  )


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 4), (24, 2), (999, 1)])
def test_packs_hold_all_terms_in_their_order(size, count):
  shapes = [tf.TensorShape(x) for x in ([], [2, 3], [5], [1, 2])]
  terms = [tf.random.stateless_normal(x, [0, i]) for i, x in enumerate(shapes)]
  packs = packed(terms, size)
  assert len(packs) == count
  for term, found in zip(terms, unpacked(packs, shapes, size), strict=True):
    np.testing.assert_array_equal(term, found)
