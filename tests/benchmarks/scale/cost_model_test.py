"""The cost model is the ring's formula, and finds what it was made with."""

import numpy as np
import pytest

from benchmarks.scale.cost_model import (
  Compute,
  Link,
  errors,
  fit_compute,
  fit_link,
  predict,
)

LINK = Link(latency=1e-4, bandwidth=1e9)
COMPUTE = Compute(fixed=0.1, per_example=0.01)


def test_an_all_reduce_of_two_and_of_four():
  """By hand: 2 messages of half the bytes; 6 messages of a quarter."""
  assert LINK.all_reduce(2, 8e8) == pytest.approx(2e-4 + 0.8)
  assert LINK.all_reduce(4, 8e8) == pytest.approx(6e-4 + 1.2)


def test_an_all_gather_passes_on_what_each_other_has():
  assert LINK.all_gather(4, 1e8) == pytest.approx(3 * (1e-4 + 0.1))


def test_one_replica_reduces_nothing():
  found = predict(COMPUTE, LINK, replicas=1, examples=32, size=1e9)
  assert found.step == pytest.approx(0.42)
  assert found.efficiency == 1.0
  assert found.reduce_share == 0.0


def test_a_step_grows_with_bytes_replicas_and_crowd():
  def step(replicas=4, size=1e8, crowd=1):
    return predict(
      COMPUTE, LINK, replicas=replicas, examples=8, size=size, crowd=crowd
    ).step

  assert step(size=1e8) < step(size=2e8)
  assert step(replicas=4) < step(replicas=8) < step(replicas=1024)
  assert step(crowd=1) < step(crowd=2)


def test_bytes_over_a_ring_have_a_bound():
  """However many replicas, no more than twice the bytes pass a link."""
  free = Link(latency=0.0, bandwidth=1e9)
  assert 1.9 < free.all_reduce(1024, 1e9) < 2.0


def test_replicas_that_share_cores_are_no_faster_together():
  """Weak scaling on one host shows overhead: half the rate each."""
  free = Link(latency=0.0, bandwidth=1e18)
  found = predict(COMPUTE, free, replicas=2, examples=8, size=1, crowd=2)
  assert found.efficiency == pytest.approx(0.5)


def test_the_fit_finds_what_the_points_were_made_with():
  noise = np.random.default_rng(0).normal(1, 0.02, 8)
  sizes = np.geomspace(1e3, 1e8, 8)
  seconds = [LINK.all_reduce(4, size) for size in sizes] * noise
  found = fit_link(sizes, seconds, replicas=4)
  assert found.latency == pytest.approx(LINK.latency, rel=0.05)
  assert found.bandwidth == pytest.approx(LINK.bandwidth, rel=0.05)
  examples = np.array([4, 8, 16, 32])
  steps = [COMPUTE.work(n) for n in examples] * noise[:4]
  compute = fit_compute(examples, steps)
  assert compute.per_example == pytest.approx(COMPUTE.per_example, rel=0.1)
  assert compute.fixed == pytest.approx(COMPUTE.fixed, rel=0.2)


def test_errors_have_no_sign():
  assert errors([1.1, 0.9], [1.0, 1.0]) == pytest.approx((0.1, 0.1))
