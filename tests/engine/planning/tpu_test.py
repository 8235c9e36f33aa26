"""Topologies, their compiler, and the largest batch that fits."""

import importlib.util
import json
import os
import sys

import pytest
import tensorflow as tf

from engine.errors import UserError
from engine.planning import device_compile
from engine.planning.compiler import Compiler
from engine.planning.largest_batch import find_largest
from engine.planning.lowering import compile_only_strategy, lower
from engine.planning.tpu import PINS, Tpus, how_to_install
from launch.pages import plan_report
from tests.support.doors import enter
from tests.support.testing import ROOT

# jax and libtpu may live in an environment of their own.
PYTHON = os.environ.get("PLAN_PYTHON", sys.executable)
needs_libtpu = pytest.mark.skipif(
  "PLAN_PYTHON" not in os.environ
  and not all(importlib.util.find_spec(name) for name in ("jax", "libtpu")),
  reason="jax and libtpu are not installed: pip install --editable '.[plan]'",
)


@pytest.mark.parametrize(
  ("name", "config", "devices", "per_chip"),
  [
    ("v5e:2x2", "", 4, 1),
    ("v5e:2x4", "", 8, 1),
    ("v5p:2x2x1", "", 4, 1),
    ("v4:2x2x1", "", 8, 2),
    ("v4:2x2x1", "megacore", 4, 1),
  ],
)
def test_a_topology_says_its_replicas(name, config, devices, per_chip):
  topology = Tpus(name, config)
  assert (topology.devices, topology.devices_per_chip) == (devices, per_chip)


@pytest.mark.parametrize(
  ("name", "config"),
  [
    ("v5e", ""),
    ("v5e:4", ""),
    ("v9:2x2", ""),
    ("v5e:2x", ""),
    ("v5e:0x2", ""),
    ("v5e:2x2", "megacore"),
    ("v4:2x2x1", "mega"),
  ],
)
def test_a_bad_topology_is_refused(name, config):
  with pytest.raises(UserError, match="`topology`|`chip_config`"):
    Tpus(name, config)


def chip(limit, knee=1.0):
  """A compiler whose temporaries take 10 bytes a row.

  Beyond `limit` bytes it recomputes: up to `knee` times as many rows fit.
  """
  trials = []

  def compile_examples(rows):
    trials.append(rows)
    if 300 + 10 * rows > limit and 300 + 10 * rows / knee > limit:
      return {"ok": False, "kind": "memory"}
    temporaries = min(50 + 10 * rows, limit - 250)
    return {
      "ok": True,
      "held_bytes": 200,
      "temporary_bytes": temporaries,
      "code_bytes": 25,
      "ahead_bytes": 25,
    }

  return compile_examples, trials


def test_the_largest_batch_is_read_off_two_compilations():
  compile_examples, trials = chip(limit=10300)
  found = find_largest(
    compile_examples, examples=8, granted=10300, search=False
  )
  assert (found.examples, found.how) == (1000, "line")
  assert trials == [8, 32]


@pytest.mark.parametrize("knee", [1.0, 1.3])
def test_a_search_comes_from_above_and_finds_what_fits(knee):
  compile_examples, trials = chip(limit=10300, knee=knee)
  found = find_largest(compile_examples, examples=8, granted=10300, search=True)
  assert found.how == "compiled"
  assert found.tried[found.examples] == "compiled"
  assert 0.85 * 1000 * knee < found.examples <= 1000 * knee
  above = [n for n in found.tried if n > found.examples]
  assert above and all(found.tried[n] == "memory" for n in above)
  assert trials[2:] == sorted(trials[2:], reverse=True)


def test_a_batch_that_does_not_fit_is_halved():
  compile_examples, _ = chip(limit=400)
  found = find_largest(compile_examples, examples=64, granted=400, search=False)
  assert found.examples == 10
  assert found.tried[64] == found.tried[16] == "memory"


def test_where_not_one_row_fits_it_says_so():
  compile_examples, _ = chip(limit=100)
  found = find_largest(compile_examples, examples=4, granted=100, search=False)
  assert found.examples is None


@pytest.mark.parametrize(
  "message",
  [
    "total memory required (8.50G) exceeds available HBM (15.75G). HLO",
    "Ran out of memory in memory space hbm. Used 8.50G of 15.75G hbm. E",
  ],
)
def test_a_refusal_names_its_bytes(message):
  found = device_compile.out_of_memory(message)
  assert found == (int(8.5 * 2**30), int(15.75 * 2**30))


def report_of(hosts=1, **train):
  """The report of a train step, and of an eval step that compiles."""
  compiled = {
    "ok": True,
    "compile_seconds": 12.0,
    "shape": (16, 64, 8),
    "examples": 4,
    "dynamic": (),
    "largest": None,
    "held_bytes": 2**30,
    "temporary_bytes": 2**29,
    "code_bytes": 2**29,
    "batch_bytes": 10**6,
    "ahead_bytes": 0,
    "flops": 197e9,
    "accessed_bytes": 1.638e9,
    "collectives": {"all-reduce": {"count": 2, "bytes": 45 * 10**7}},
  }
  record = {
    "kind": "TPU v5 lite",
    "devices": 4,
    "devices_per_chip": 1,
    "hosts": hosts,
    "granted_bytes": 16 * 2**30,
    "versions": {"libtpu": "0"},
    "steps": {"train": compiled | train, "eval": compiled},
  }
  lines = plan_report.device_lines(record, Tpus("v5e:2x2"), "bfloat16")
  return {line.split("  ")[1]: line for line in lines[1:]}, lines


def test_the_report_shows_memory_and_roofline_as_compiled_not_run():
  named, lines = report_of(
    largest={
      "examples": 100,
      "how": "line",
      "tried": {4: "compiled", 16: "memory"},
    }
  )
  assert "compiled, not run" in lines[0]
  assert "2 GiB (12.5%)" in named["memory (of grant)"]
  assert "2 ms, memory-bound" in named["roofline"]
  assert "2 all-reduce, 450 MB" in named["collectives"]
  assert "100 examples a device" in named["largest batch"]
  assert "estimated" in named["largest batch"]
  assert "refused: 16 (memory)" in named["largest batch"]


def test_the_report_says_what_goes_to_other_hosts():
  named, _ = report_of(hosts=2)
  assert "2 MB a train step go to other hosts (1)" in named["input"]
  assert "input" not in report_of()[0]


def test_the_report_flags_sizes_that_the_device_alone_knows():
  named, _ = report_of(dynamic=("op Where (w) at tasks/x.py:3 `tf.where(y)`",))
  assert "tasks/x.py:3" in named["train, slow"]


def test_the_report_says_why_a_step_does_not_compile():
  named, _ = report_of(ok=False, kind="memory", needed_bytes=20 * 2**30)
  assert "no: out of memory" in named["compiles"]
  assert "20 GiB (125.0%)" in named["memory (of grant)"]
  named, _ = report_of(ok=False, kind="refused", message="UNIMPLEMENTED: Foo")
  assert "UNIMPLEMENTED: Foo" in named["train refused"]


def test_the_pins_are_those_of_the_extra():
  with open(os.path.join(ROOT, "setup.cfg")) as file:
    extra = file.read().split("\nplan =\n")[1].split("\n\n")[0]
  assert tuple(extra.split()) == PINS


def test_where_tensorflow_tpu_trains_the_compiler_lives_apart(monkeypatch):
  assert "[plan]" in how_to_install()
  monkeypatch.setattr("importlib.metadata.version", lambda name: "2.20.0")
  assert "--plan_python" in how_to_install()
  assert "[plan]" not in how_to_install()


def test_without_libtpu_the_door_says_what_to_install(tmp_path):
  bare = tmp_path / "python"
  bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
  bare.chmod(0o755)
  ended = enter(
    tmp_path, "launch.plan", "--topology=v5e:2x2", f"--plan_python={bare}"
  )
  assert ended.status == 2
  assert ended.err.count("\n") == 1
  assert "pip install --editable '.[plan]'" in ended.err


@pytest.fixture(scope="module")
def compiler():
  return Compiler(Tpus("v5e:2x2"), python=PYTHON, timeout=600)


@needs_libtpu
def test_the_compiler_knows_the_topology(compiler):
  assert compiler.facts["devices"] == 4
  # What it grants is a little less than the chip's 16 GB.
  assert 15 * 2**30 < compiler.facts["granted_bytes"] < 16 * 2**30


@needs_libtpu
def test_libtpu_refuses_a_shape_that_no_pod_has():
  with pytest.raises(UserError, match="3x3 is refused by libtpu"):
    Compiler(Tpus("v5e:3x3"), python=PYTHON, timeout=600)


@needs_libtpu
def test_a_product_costs_what_it_must(compiler):
  specs = {"x": tf.TensorSpec([512, 1024])}
  strategy = compile_only_strategy(1)
  with strategy.scope():
    kernel = tf.Variable(tf.ones([1024, 256]))
  lowered = lower(lambda batch: batch["x"] @ kernel, specs, strategy)
  found = compiler.compile(lowered.hlo, replicas=1)
  assert found["ok"]
  assert found["flops"] == pytest.approx(2 * 512 * 1024 * 256, rel=0.01)
  moved = 4 * (512 * 1024 + 1024 * 256 + 512 * 256)
  assert found["accessed_bytes"] >= moved
  assert found["held_bytes"] >= moved


@needs_libtpu
def test_what_does_not_fit_is_refused_with_its_bytes(compiler):
  specs = {"x": tf.TensorSpec([2**16, 2**16])}
  strategy = compile_only_strategy(1)
  lowered = lower(lambda batch: batch["x"] + 1.0, specs, strategy)
  found = compiler.compile(lowered.hlo, replicas=1)
  assert (found["ok"], found["kind"]) == (False, "memory")
  assert found["needed_bytes"] >= 2 * 2**34


@needs_libtpu
def test_the_door_compiles_the_steps_of_four_replicas(tmp_path):
  target = tmp_path / "plan.json"
  ended = enter(
    tmp_path,
    "launch.plan",
    "--encoder=tiny",
    "--dropout=0",
    "--params_override=task.max_seq_length=64",
    "--precision=bfloat16",
    "--topology=v5e:2x2",
    "--largest_batch=off",
    f"--plan_python={PYTHON}",
    f"--output={target}",
  )
  assert ended.status == 0, ended.err
  record = json.loads(target.read_text())
  assert record["plan"]["replicas"] == 4
  train, evaluation = (record["tpu"]["steps"][x] for x in ("train", "eval"))
  for step in (train, evaluation):
    assert step["ok"]
    assert 4 * step["examples"] == 32
  assert train["held_bytes"] > evaluation["held_bytes"]
  # libtpu counts more than products, of which so small a model has few.
  assert train["flops"] > 1.3 * evaluation["flops"]
  assert "v5e:2x2: compiled, not run" in ended.out
