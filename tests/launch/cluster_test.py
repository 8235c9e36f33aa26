"""Workers on this machine train as one process does, or are refused."""

import json
import os
import subprocess
import sys

import pytest

from launch.jobs.ranks import free_ports
from tests.support.doors import HANGS, TINY, Door, enter
from tests.support.testing import ROOT

DIGITS = ("--task=examples.digits:Digits", "--train_steps=4")


def test_cluster_runs_two_workers_to_the_result_of_one(tmp_path):
  alone = enter(
    tmp_path, "launch.train", *DIGITS, f"--model_dir={tmp_path / 'alone'}"
  )
  assert alone.status == 0, alone.err
  single = json.loads((tmp_path / "alone" / "result.json").read_text())
  ended = enter(
    tmp_path,
    "launch.cluster",
    "--num_workers=2",
    "--",
    *DIGITS,
    f"--model_dir={tmp_path / 'm'}",
  )
  assert ended.status == 0, ended.out + ended.err
  assert "[0] strategy multi_worker: 2 workers found in TF_CONFIG" in ended.out
  assert "[1] step" not in ended.out  # The chief speaks for all.
  logs = [(tmp_path / f"m/worker_{i}.log").read_text() for i in (0, 1)]
  assert "step 4/4" in logs[0] and "[0]" not in logs[0]
  assert "step 4/4" not in logs[1]
  result = json.loads((tmp_path / "m" / "result.json").read_text())
  assert (result["workers"], result["replicas"]) == (2, 2)
  assert result["eval"]["confusion"] == single["eval"]["confusion"]
  assert result["eval"]["loss"] == pytest.approx(single["eval"]["loss"], 1e-5)


def test_workers_with_different_settings_are_refused(tmp_path):
  hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
  running = []
  for i in range(2):
    own = tmp_path / str(i)
    own.mkdir()
    running.append(
      Door(
        own,
        "launch.train",
        *TINY,
        f"--model_dir={tmp_path / 'm'}",
        f"--worker_hosts={','.join(hosts)}",
        f"--worker_index={i}",
        f"--seed={i}",
      )
    )
  for ended in (door.end() for door in running):
    assert ended.status == 2
    assert ended.err.count("\n") == 1
    assert f"worker 1 ({hosts[1]}) differs from worker 0" in ended.err
    assert "train.seed: 0 -> 1" in ended.err
  assert not (tmp_path / "m").exists()


def test_workers_with_different_numbers_of_gpus_are_refused(tmp_path):
  hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
  running = [
    subprocess.Popen(
      [
        sys.executable,
        "-c",
        "import runpy; from launch.jobs import gpus; "
        f"gpus.seen_by_tensorflow = lambda: {4 * (i + 1)}; "
        "runpy.run_module('launch.train', run_name='__main__')",
        *TINY,
        f"--model_dir={tmp_path / 'm'}",
        f"--worker_hosts={','.join(hosts)}",
        f"--worker_index={i}",
      ],
      cwd=ROOT,
      stderr=subprocess.PIPE,
      text=True,
    )
    for i in range(2)
  ]
  for process in running:
    _, told = process.communicate(timeout=HANGS)
    assert process.returncode == 2
    assert told.count("\n") == 1
    assert "GPUs of a worker: 4 -> 8" in told
  assert not (tmp_path / "m").exists()


def test_more_workers_than_gpus_are_refused(tmp_path):
  tool = tmp_path / "nvidia-smi"
  tool.write_text("#!/bin/sh\necho 'GPU-a, NVIDIA H100, 580.1, 81559 MiB'\n")
  tool.chmod(0o755)
  ended = Door(
    tmp_path,
    "launch.cluster",
    "--num_workers=2",
    "--",
    *TINY,
    f"--model_dir={tmp_path / 'm'}",
    environ={"PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]])},
  ).end()
  assert ended.status == 2
  assert ended.err.count("\n") == 1
  assert "this host has 1 GPU(s)" in ended.err
  assert not (tmp_path / "m").exists()
