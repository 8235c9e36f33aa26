"""The GPUs of a host are found, divided, and missed with a reason."""

import os
import subprocess

import pytest
import tensorflow as tf

from engine.errors import UserError
from launch.jobs import gpus
from tests.support.testing import ROOT

TWO = (
  "GPU-a, NVIDIA H100 80GB HBM3, 580.1, 81559 MiB",
  "GPU-b, NVIDIA H100 80GB HBM3, 580.1, 81559 MiB",
)


@pytest.fixture
def driver(tmp_path, monkeypatch):
  """Puts a stub of the driver's tool on the path, which says some lines."""

  def says(*lines, status=0):
    tool = tmp_path / "nvidia-smi"
    told = "\n".join(f"echo '{line}'" for line in lines)
    tool.write_text(f"#!/bin/sh\n{told}\nexit {status}\n")
    tool.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    monkeypatch.setenv("PATH", path)

  return says


def test_the_driver_names_its_gpus(driver):
  driver(*TWO)
  first, second = gpus.gpus_of_host()
  assert first == ("GPU-a", "NVIDIA H100 80GB HBM3", "580.1", "81559 MiB")
  assert second.uuid == "GPU-b"
  assert gpus.kinds_of_host() == [
    f"{gpu.name}, {gpu.driver}" for gpu in gpus.gpus_of_host()
  ]


@pytest.mark.parametrize(
  ("workers", "environ", "expected"),
  [
    (1, {}, ["GPU-a,GPU-b"]),
    (2, {}, ["GPU-a", "GPU-b"]),
    (2, {"CUDA_VISIBLE_DEVICES": "0,3,5"}, ["0", "3"]),
    (2, {"CUDA_VISIBLE_DEVICES": ""}, []),
    (9, {"CUDA_VISIBLE_DEVICES": "-1"}, []),
  ],
)
def test_workers_share_the_gpus_evenly(driver, workers, environ, expected):
  driver(*TWO)
  assert gpus.shares_of(workers, environ) == expected


def test_more_workers_than_gpus_are_refused_with_the_cure(driver):
  driver(*TWO)
  with pytest.raises(UserError) as refused:
    gpus.shares_of(3, {})
  message = str(refused.value)
  assert "`num_workers` is 3, but this host has 2 GPU(s)" in message
  assert "--num_workers=2" in message and "CUDA_VISIBLE_DEVICES=-1" in message
  assert len(message) <= 300


def test_tensorflow_is_asked_where_there_is_a_driver(driver, monkeypatch):
  monkeypatch.setattr(gpus, "_DEVICE", "/nothing")
  monkeypatch.setattr(
    tf.config, "list_physical_devices", {"GPU": ["one", "two", "three"]}.get
  )
  driver(*TWO)
  assert gpus.seen_by_tensorflow() == 3
  monkeypatch.setenv("PATH", "")
  assert gpus.seen_by_tensorflow() == 0
  monkeypatch.setattr(gpus, "_DEVICE", os.devnull)
  assert gpus.seen_by_tensorflow() == 3


@pytest.mark.parametrize("fault", [{"status": 9}, {}])
def test_where_the_driver_is_broken_workers_take_the_cpu(driver, fault):
  driver("what is this", **fault)
  assert gpus.shares_of(4, {}) == []
  assert gpus.kinds_of_host() == ["unknown"]
  with pytest.raises((subprocess.SubprocessError, ValueError)):
    gpus.gpus_of_host()


def test_the_reason_is_the_first_that_is_known(monkeypatch):
  seen = [gpus.Gpu("GPU-a", "NVIDIA T4", "470.2", "15360 MiB")]
  hidden = gpus.why_unseen(seen, {"CUDA_VISIBLE_DEVICES": "-1"})
  assert hidden == "CUDA_VISIBLE_DEVICES=-1 hides them"
  cublas, cudnn = "nvidia-cublas-cu12", "nvidia-cudnn-cu12"
  installed = {cublas: "12.9"}
  wanted = [f'{x}<13; extra == "and-cuda"' for x in (cublas, cudnn)]

  def version(name):
    if name not in installed:
      raise gpus.importlib.metadata.PackageNotFoundError
    return installed[name]

  metadata = gpus.importlib.metadata
  monkeypatch.setattr(metadata, "requires", lambda _: ["numpy", *wanted])
  monkeypatch.setattr(metadata, "version", version)
  assert gpus.why_unseen(seen, {}) == f"libraries missing: {cudnn}"
  installed[cudnn] = "9.28"
  assert "driver 470.2 is older than 525" in gpus.why_unseen(seen, {})
  new = [seen[0]._replace(driver="580.1")]
  assert "LD_LIBRARY_PATH=/x" in gpus.why_unseen(new, {"LD_LIBRARY_PATH": "/x"})
  known = f"driver 580.1, {cublas} 12.9, {cudnn} 9.28 are there"
  assert gpus.why_unseen(new, {}) == known


@pytest.mark.parametrize("has_driver", [True, False])
def test_make_demo_installs_cuda_where_there_is_a_driver(
  driver, has_driver, monkeypatch
):
  if has_driver:
    driver(*TWO)
  else:
    places = os.environ["PATH"].split(os.pathsep)
    kept = [x for x in places if not os.path.exists(f"{x}/nvidia-smi")]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))
  # A `make` that runs the tests would have this one tell its directory.
  monkeypatch.delenv("MAKEFLAGS", raising=False)
  monkeypatch.delenv("MAKELEVEL", raising=False)
  shown = subprocess.run(
    ["make", "--dry-run", "demo"], cwd=ROOT, capture_output=True, text=True
  )
  assert shown.returncode == 0, shown.stderr
  last = shown.stdout.splitlines()[-1]
  assert ("launch.doctor --gpus" in last) == has_driver
  assert ("options.extras_require cuda" in shown.stdout) == has_driver
  assert ("nvidia-smi is here" in shown.stdout) == has_driver
