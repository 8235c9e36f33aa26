"""The peak of known accelerators is published, that of others is measured."""

import pytest

from engine.measure import peaks
from engine.measure.peaks import Meter, find_peak, gpu_peak, published, tpu_peak
from tests.support.testing import strategy_of


@pytest.mark.parametrize(
  ("name", "bfloat16"),
  [
    ("NVIDIA H200", 989.4e12),
    ("NVIDIA H100 80GB HBM3", 989.4e12),
    ("NVIDIA H100 PCIe", 756e12),
    ("NVIDIA A100-SXM4-40GB", 312e12),
    ("NVIDIA A100 80GB PCIe", 312e12),
    ("NVIDIA L4", 121e12),
    ("NVIDIA GeForce RTX 4090", 165.2e12),
    ("Tesla T4", None),  # It does not know the type.
    ("NVIDIA H100 NVL", None),
    ("NVIDIA GH200 480GB", None),
    ("NVIDIA L40S", None),
    ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
    ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
    ("", None),
  ],
)
def test_gpus_are_told_by_their_whole_name(name, bfloat16):
  assert gpu_peak(name, "bfloat16", tf32=True) == bfloat16


def test_float32_on_a_gpu_is_what_tensorflow_makes_of_it():
  assert gpu_peak("NVIDIA A100-SXM4-40GB", "float32", tf32=True) == 156e12
  assert gpu_peak("NVIDIA A100-SXM4-40GB", "float32", tf32=False) == 19.5e12
  assert gpu_peak("Tesla V100-SXM2-16GB", "float32", tf32=True) == 15.7e12


@pytest.mark.parametrize(
  ("accelerator_type", "flops"),
  [
    ("v2-8", 4 * 46e12),
    ("v4-8", 4 * 275e12),
    ("v5litepod-4", 4 * 197e12),
    ("v5p-8", 4 * 459e12),
    ("v6e-1", 918e12),
    ("v9-8", None),
    ("v4", None),
    ("", None),
  ],
)
def test_tpu_slices_are_told_by_their_type(
  monkeypatch, accelerator_type, flops
):
  assert tpu_peak(accelerator_type) == flops
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
