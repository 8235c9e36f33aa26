"""The script for a device runs here on the CPU, as it will there."""

import importlib.util
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest

from benchmarks.device import run
from benchmarks.device.export import CASES, Case, export
from engine.measure.hardware import gpu_peak
from tests.support.testing import ROOT

PYTHON = os.environ.get("PLAN_PYTHON_GPU", sys.executable)
needs_jax = pytest.mark.skipif(
  "PLAN_PYTHON_GPU" not in os.environ and not importlib.util.find_spec("jax"),
  reason="jax is not installed: pip install --editable '.[plan_gpu]'",
)
SCRIPT = os.path.join(ROOT, "benchmarks", "device", "run.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A small case, exported."""
  folder = tmp_path_factory.mktemp("cases")
  case = Case("tiny", 8, "pack")
  export(case, str(folder))
  (folder / "cases.json").write_text(json.dumps([case.name]))
  return folder


def python(*arguments):
  return subprocess.run(
    [PYTHON, *arguments],
    cwd=ROOT,
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
  )


def test_the_cases_are_those_of_the_issue_the_one_that_is_checked_first():
  assert CASES[0].name == "demo-32-pack"
  assert len({case.name for case in CASES}) == len(CASES) == 18


@pytest.mark.parametrize(
  "name",
  [
    "NVIDIA H100 80GB HBM3",
    "NVIDIA H100 PCIe",
    "NVIDIA H100 NVL",
    "NVIDIA H200",
    "NVIDIA A100-SXM4-80GB",
    "cpu",
  ],
)
def test_its_peaks_are_those_of_the_house(name):
  assert run.peak_of(name) == gpu_peak(name, "bfloat16", tf32=False)


def test_a_case_says_what_its_step_takes_and_how_it_begins(folder):
  facts = json.loads((folder / "tiny-8-pack.json").read_text())
  begins = {name: begins for name, _, _, begins in facts["state"]}
  assert begins["iteration:0"] == 0.0 and begins["taken:0"] == 1.0
  assert {"normal", "ones", "zeros"} <= set(map(str, begins.values()))
  with np.load(folder / "tiny-8-pack.npz") as stored:
    for name, shape, dtype, *_ in facts["batch"]:
      if name != "/step":
        kept = stored[name.replace("/", "|")]
        assert (list(kept.shape[1:]), kept.dtype) == (shape, dtype)
  sizes = [x.stat().st_size for x in folder.iterdir()]
  assert max(sizes) <= 64 * 2**20


def test_each_size_is_held_against_others_once(tmp_path, monkeypatch):
  jax = types.SimpleNamespace(
    config=types.SimpleNamespace(update=lambda *_: None),
    default_backend=lambda: "gpu",
  )
  monkeypatch.setitem(sys.modules, "jax", jax)
  taken = []
  monkeypatch.setattr(run, "Case", lambda folder, name: name)
  for side in ("measure", "beside"):
    take = lambda name, steps, side=side: taken.append((name, side)) or {}
    monkeypatch.setattr(run, side, take)
  names = ["base-128-pack", "base-128-pad", "base-32-pack"]
  (tmp_path / "cases.json").write_text(json.dumps(names))
  assert run.main([str(tmp_path)]) == 0
  assert [name for name, side in taken if side == "measure"] == names
  others = [name for name, side in taken if side == "beside"]
  assert others == ["base-128-pack", "base-32-pack"]


@needs_jax
def test_the_script_measures_and_checks_what_was_exported(folder):
  converted = python("-m", "benchmarks.device.convert", str(folder))
  assert converted.returncode == 0, converted.stderr[-2000:]
  ended = python(SCRIPT, str(folder), "--cpu", "--steps=2", "--seconds=100")
  assert ended.returncode == 0, ended.stderr
  record, other = map(json.loads, ended.stdout.splitlines())
  assert record["case"] == other["case"] == "tiny-8-pack"
  assert record["largest_relative_error_of_loss"] < 1e-5
  assert record["real_tokens_per_second"] > 0
  assert "seconds_of_a_step" in other or "not_measured" in other, other
  kept = (folder / "results.jsonl").read_text().splitlines()
  assert kept == ended.stdout.splitlines()
  losses = np.load(folder / "tiny-8-pack.losses.npy")
  # Weights of nobody, two classes.
  assert len(losses) == 20 and abs(losses - np.log(2)).max() < 0.4


@needs_jax
def test_without_a_device_it_says_so_and_runs_nothing(folder):
  ended = python(SCRIPT, str(folder))
  assert ended.returncode == 2
  assert "There is no device here" in ended.stderr.splitlines()[-1]
  assert not ended.stdout
