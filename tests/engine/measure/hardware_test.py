"""Published peaks are told by the names of the devices."""

import pytest

from engine.measure.hardware import gpu_peak, tpu_peak


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
def test_tpu_slices_are_told_by_their_type(accelerator_type, flops):
  assert tpu_peak(accelerator_type) == flops
