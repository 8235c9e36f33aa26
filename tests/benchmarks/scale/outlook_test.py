"""What is predicted of accelerators follows from published figures."""

import pytest

from benchmarks.scale.outlook import MACHINES, together, told


@pytest.mark.parametrize("machine", MACHINES, ids=lambda x: x.name)
def test_more_replicas_compute_the_same_and_reduce_for_longer(machine):
  steps = [machine.step(n, 32) for n in (1, 8, 64, 1024)]
  alone = [x.step * (1 - x.reduce_share) for x in steps]
  assert alone == pytest.approx(alone[:1] * 4)
  assert sorted(x.step for x in steps) == [x.step for x in steps]
  assert steps[0].reduce_share == 0
  # Twice the examples are less than twice the step: the optimizer's is shared.
  assert alone[0] < machine.step(1, 64).step < 2 * alone[0]


def test_an_input_is_held_against_what_is_computed():
  lines = told(8, 32, 1.0)
  assert [line.split(",")[0] for line in lines] == ["8 x H100", "8 x v5e"]
  assert all("predicted" in line for line in lines)


@pytest.mark.parametrize("workers", [8, 64, 512, 1024])
def test_what_workers_do_together_does_not_grow_with_them(workers):
  before, now = together(workers)
  assert now.vote < 0.01 * 0.05  # One percent of a step of 50 ms.
  checkpoint = 12 * 109.5e6
  assert now.read == 2 * checkpoint
  assert before.read == workers * now.read
  assert now.restore < before.restore
  assert before.vote > 100 * now.vote
