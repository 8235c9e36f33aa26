"""The doctor finds what is wrong, and names a cure."""

import subprocess
import types

import pytest

from launch.jobs import checkup, packages
from launch.jobs.finding import BROKEN, OK, WARNING
from launch.jobs.gpus import Gpu


def found(directories=None, environ=None):
  """Subject -> finding; TensorFlow is not asked for devices."""
  return {
    finding.subject: finding
    for finding in checkup.check_all(directories or {}, environ or {})
  }


def with_versions(monkeypatch, **versions):
  """Installs packages in thought; None takes one away."""
  real = packages.version_of
  versions = {k.replace("_", "-"): v for k, v in versions.items()}

  def version(name):
    return versions.get(name, real(name)) if name in versions else real(name)

  monkeypatch.setattr(packages, "version_of", version)


def test_this_machine_is_well(tmp_path):
  findings = found({"runs": str(tmp_path / "a" / "b")})
  for subject in ("python", "tensorflow", "tf_keras", "numpy", "cluster"):
    assert findings[subject].level == OK, findings[subject]
  assert findings["runs"].level in (OK, WARNING)
  assert "CPU" in findings["devices"].found


@pytest.mark.parametrize(
  "versions, subject, level, cure",
  [
    (
      {"tensorflow_tpu": "2.20.0"},
      "one TensorFlow",
      BROKEN,
      "pip uninstall -y tensorflow tensorflow-tpu",
    ),
    ({"orbit_ml": "1.0"}, "orbit", BROKEN, "pip uninstall -y orbit-ml"),
    ({"setuptools": "82.0.1"}, "setuptools", BROKEN, "'setuptools<81'"),
    ({"tensorflow": "2.19.1"}, "tensorflow", WARNING, "tensorflow==2.20.*"),
    ({"tensorflow": None}, "tensorflow", BROKEN, "pip install tensorflow"),
    ({"numpy": None}, "numpy", BROKEN, "pip install numpy"),
  ],
)
def test_a_clash_is_found_and_cured(
  monkeypatch, versions, subject, level, cure
):
  with_versions(monkeypatch, **versions)
  finding = found()[subject]
  assert finding.level == level
  assert cure in finding.cure


def test_variables_that_make_no_sense_are_found():
  findings = found(environ={"TF_CONFIG": "{", "TF_USE_LEGACY_KERAS": "0"})
  assert findings["cluster"].level == BROKEN
  assert "TF_CONFIG" in findings["cluster"].found
  assert findings["Keras"].level == BROKEN
  assert "unset TF_USE_LEGACY_KERAS" in findings["Keras"].cure


def test_a_directory_that_is_not_ours_is_found(tmp_path, monkeypatch):
  monkeypatch.setattr(checkup.os, "access", lambda path, how: False)
  assert found({"runs": str(tmp_path)})["runs"].level == BROKEN


def test_little_memory_is_found(monkeypatch):
  little = types.SimpleNamespace(available=2**30, total=2**31)
  monkeypatch.setattr(checkup.psutil, "virtual_memory", lambda: little)
  finding = found()["memory"]
  assert (finding.level, "--global_batch_size" in finding.cure) == (
    WARNING,
    True,
  )


def test_gpus_that_tensorflow_cannot_use_are_found(monkeypatch):
  seen = [Gpu("GPU-a", "NVIDIA H100", "580.1", "81559 MiB")]
  monkeypatch.setattr(checkup.gpus, "has_driver", lambda: True)
  monkeypatch.setattr(checkup.gpus, "gpus_of_host", lambda: seen)
  findings = {x.subject: x for x in checkup.check_gpus({})}
  assert findings["GPU drivers"].found == "NVIDIA H100, 580.1, 81559 MiB"
  assert findings["devices"].found.endswith(" CPU, 0 GPU(s) []")
  assert findings["GPUs"].level == WARNING
  assert "libraries missing: nvidia-" in findings["GPUs"].found
  assert "tensorflow[and-cuda]" in findings["GPUs"].cure


@pytest.mark.parametrize(
  ("said", "told"),
  [
    ("Failed to initialize NVML\n", "Failed to initialize NVML"),
    ("", "status 9"),
  ],
)
def test_a_broken_driver_is_told_in_its_own_words(monkeypatch, said, told):
  def fails():
    raise subprocess.CalledProcessError(9, "nvidia-smi", said)

  monkeypatch.setattr(checkup.gpus, "has_driver", lambda: True)
  monkeypatch.setattr(checkup.gpus, "gpus_of_host", fails)
  driver, *_ = checkup.check_gpus({})
  assert driver.level == BROKEN and told in driver.found
