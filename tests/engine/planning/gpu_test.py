"""GPUs that are elsewhere: their names, their figures, their compiler."""

import importlib.util
import json
import os
import sys

import pytest
import tensorflow as tf

from engine.errors import UserError
from engine.measure.hardware import GPUS, gpu_peak
from engine.planning import device_compile
from engine.planning.compiler import Compiler
from engine.planning.gpu import PINS, Gpus, is_gpus
from engine.planning.lowering import compile_only_strategy, lower
from engine.planning.tpu import Tpus
from launch.pages import plan_report
from tests.support.doors import enter
from tests.support.testing import ROOT

# What compiles may live in an environment of its own.
PYTHON = os.environ.get("PLAN_PYTHON_GPU", sys.executable)
needs_compiler = pytest.mark.skipif(
  "PLAN_PYTHON_GPU" not in os.environ
  and not importlib.util.find_spec("jax_cuda12_plugin"),
  reason="jax's plugin for CUDA is not installed: pip install "
  "--editable '.[plan_gpu]'",
)


@pytest.mark.parametrize(
  ("name", "devices"), [("h100", 1), ("h200:8", 8), ("a100:2", 2)]
)
def test_a_topology_says_its_replicas(name, devices):
  assert is_gpus(name)
  assert (Gpus(name).devices, Gpus(name).devices_per_chip) == (devices, 1)
  assert f"--devices={devices}" in Gpus(name).arguments


@pytest.mark.parametrize("name", ["h100:0", "h100:9", "h100:999"])
def test_so_many_are_on_no_host(name):
  with pytest.raises(UserError, match="a100, h100, h200, or up to 8 of them"):
    Gpus(name)


@pytest.mark.parametrize("name", ["b900", "h100:", "H100", "h100:2x2", "gpu"])
def test_what_nobody_knows_is_refused_with_the_list(name):
  assert not is_gpus(name)
  with pytest.raises(UserError) as refused:
    Tpus(name)
  assert "v5e:2x2" in str(refused.value) and "h100:8" in str(refused.value)
  assert len(str(refused.value)) <= 300


@pytest.mark.parametrize("kind", GPUS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_each_has_a_published_peak(kind, precision):
  peaks = Gpus(kind).peaks(precision)
  assert peaks.flops == gpu_peak(GPUS[kind].name, precision, tf32=True) > 1e14
  assert peaks.memory > 70e9


def test_the_pins_are_those_of_the_extra():
  with open(os.path.join(ROOT, "setup.cfg")) as file:
    extra = file.read().split("\nplan_gpu =\n")[1].split("\n\n")[0]
  assert tuple(extra.split()) == PINS


def test_collectives_are_counted_with_their_bytes():
  text = """
  %a = f32[4,8]{1,0} all-reduce(%x), replica_groups={{0,1}}
  %b = (f32[10]{0}, bf16[3,2]{1,0}) all-reduce-start(%y, %z), channel_id=1
  %c = (f32[10]{0}, bf16[3,2]{1,0}) all-reduce-done(%b)
  %d = s32[6]{0} all-gather(%i), dimensions={0}
  """
  assert device_compile.collectives(text) == {
    "all-reduce": {"count": 2, "bytes": 128 + 40 + 12},
    "all-gather": {"count": 1, "bytes": 24},
  }


@pytest.mark.parametrize(("devices", "link"), [(8, 1.8), (2, 1)])
def test_the_report_shows_what_a_gpu_would_take_and_send(devices, link):
  """Over a ring each of 8 sends 7/4 of the bytes, each of 2 all of them."""
  step = {
    "ok": True,
    "compile_seconds": 12.0,
    "shape": (16, 64, 8),
    "examples": 4,
    "dynamic": (),
    "largest": None,
    "held_bytes": 2**30,
    "temporary_bytes": 2**29,
    "code_bytes": 0,
    "ahead_bytes": 2**29,
    "flops": 989.4e9,
    "accessed_bytes": 3.352e8,
    "collectives": {"all-reduce": {"count": 2, "bytes": 45 * 10**7}},
  }
  record = {
    "kind": GPUS["h100"].name,
    "devices": devices,
    "devices_per_chip": 1,
    "hosts": 1,
    "granted_bytes": 80 * 2**30,
    "versions": {"jax": "0"},
    "steps": {"train": step, "eval": {**step, "collectives": {}}},
  }
  lines = plan_report.device_lines(record, Gpus(f"h100:{devices}"), "bfloat16")
  named = {line.split("  ")[1]: line for line in lines[1:]}
  assert "2 GiB (2.5%)" in named["memory (of grant)"]
  assert "1 ms, compute-bound" in named["roofline"]
  assert f"2 all-reduce, 450 MB (>= {link} ms)" in named["collectives"]
  assert named["collectives"].endswith("none")
  assert "989 TFLOP/s (bfloat16), 3352 GB/s" in named["published peaks"]


def test_without_the_compiler_the_door_says_what_to_install(tmp_path):
  empty = tmp_path / "python"
  empty.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
  empty.chmod(0o755)
  ended = enter(
    tmp_path, "launch.plan", "--topology=h100", f"--plan_python={empty}"
  )
  assert ended.status == 2
  assert "plan_gpu" in ended.err and "--plan_python" in ended.err
  assert ended.err.count("\n") == 1 and len(ended.err) <= 301


def test_a_gpu_has_no_chip_config(tmp_path):
  ended = enter(
    tmp_path, "launch.plan", "--topology=h100", "--chip_config=megacore"
  )
  assert ended.status == 2
  assert "GPUs have none" in ended.err


@needs_compiler
def test_a_product_of_two_replicas_costs_what_it_must():
  compiler = Compiler(Gpus("h100:2"), python=PYTHON, timeout=600)
  assert compiler.facts["devices"] == 2
  assert compiler.facts["granted_bytes"] == GPUS["h100"].memory
  strategy = compile_only_strategy(2)
  with strategy.scope():
    kernel = tf.Variable(tf.ones([1024, 256]))

  def step(batch):
    context = tf.distribute.get_replica_context()
    return context.all_reduce("SUM", batch["x"] @ kernel)

  lowered = lower(step, {"x": tf.TensorSpec([512, 1024])}, strategy)
  found = compiler.compile(lowered.hlo, replicas=2)
  assert found["ok"], found
  assert found["flops"] == pytest.approx(2 * 512 * 1024 * 256, rel=0.01)
  moved = 4 * (512 * 1024 + 1024 * 256 + 512 * 256)
  assert found["accessed_bytes"] >= moved
  assert found["held_bytes"] >= moved
  assert found["collectives"] == {
    "all-reduce": {"count": 1, "bytes": 4 * 512 * 256}
  }


@needs_compiler
@pytest.mark.slow
def test_the_door_compiles_the_steps_for_eight_gpus(tmp_path):
  target = tmp_path / "plan.json"
  ended = enter(
    tmp_path,
    "launch.plan",
    "--encoder=tiny",
    "--params_override=task.max_seq_length=64",
    "--precision=bfloat16",
    "--topology=h100:8",
    "--largest_batch=off",
    f"--plan_python={PYTHON}",
    f"--output={target}",
  )
  assert ended.status == 0, ended.err
  record = json.loads(target.read_text())
  assert record["plan"]["replicas"] == 8
  train, evaluation = (record["gpu"]["steps"][x] for x in ("train", "eval"))
  for step in (train, evaluation):
    assert step["ok"] and 8 * step["examples"] == 32
  assert train["flops"] > 2 * evaluation["flops"]
  assert "all-reduce" in train["collectives"]
  assert not evaluation["collectives"]
  assert "h100:8: compiled, not run" in ended.out
