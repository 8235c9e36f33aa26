"""The peak of known accelerators is published, that of others is measured."""

import pytest

from engine.measure import peaks
from engine.measure.peaks import Meter, find_peak, published
from tests.support.testing import strategy_of


@pytest.mark.parametrize(
  ("accelerator_type", "flops"), [("v4-8", 4 * 275e12), ("", None)]
)
def test_a_tpu_vm_says_which_slice_it_is(monkeypatch, accelerator_type, flops):
  monkeypatch.setenv("TPU_ACCELERATOR_TYPE", accelerator_type)
  assert published(("/device:TPU:0", "/device:TPU:1"), "bfloat16") == flops


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_cpu_is_measured_in_each_type(precision):
  peak = find_peak(strategy_of(1), precision, peaks.LEAST_FLOPS)
  assert peak.source == "measured"
  assert peak.flops_per_second > 1e9


def test_replicas_on_one_cpu_share_its_peak(monkeypatch):
  monkeypatch.setattr(Meter, "_product", lambda meter, matrix: 0.1)
  one, four = (
    find_peak(strategy_of(n), "float32", peaks.LEAST_FLOPS) for n in (1, 4)
  )
  assert one == four
  assert one.flops_per_second == pytest.approx(2 * 512**3 / 0.1)


def test_the_fastest_product_counts_unless_workers_share_the_host(monkeypatch):
  seconds = iter([0.01, 0.03] * 99)
  monkeypatch.setattr(Meter, "_product", lambda meter, matrix: next(seconds))
  alone = Meter(("/device:CPU:0",), "float32", alone=True)
  among = Meter(("/device:CPU:0",), "float32", alone=False)
  assert alone.round() == pytest.approx(2 * 512**3 / 0.01)
  assert among.round() == pytest.approx(2 * 512**3 / 0.02)


def test_too_short_a_run_is_not_measured():
  assert find_peak(strategy_of(1), "float32", peaks.LEAST_FLOPS / 2) is None
