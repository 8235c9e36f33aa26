"""Which worker a command starts, where its log is, and which GPUs it sees."""

import io
import json
import sys

import pytest

from launch.jobs.ranks import index_of, log_of, run_workers

SLURM = {
  "SLURM_STEP_NUM_TASKS": "2",
  "SLURM_PROCID": "1",
  "SLURM_JOB_ID": "7",
  "SLURM_STEP_NODELIST": "a[1-2]",
  "SLURMD_NODENAME": "a2",
  "SLURM_JOB_NUM_NODES": "2",
}
HOSTS = ["a:1", "b:1", "c:1"]


@pytest.mark.parametrize(
  ("words", "path"),
  [
    (["x", "--model_dir=a b", "--quiet"], "a b/worker_3.log"),
    (["x", "--model_dir", "a"], "a/worker_3.log"),
    (["x", "-model_dir=a"], "a/worker_3.log"),
    (["x", "--model_dir=gs://a"], ""),
    (["x", "model_dir=a"], ""),
    (["x", "--model_dir"], ""),
  ],
)
def test_the_log_of_a_worker_is_in_the_local_run_of_its_command(words, path):
  assert log_of(words, 3) == path


@pytest.mark.parametrize(
  ("words", "environ", "index"),
  [
    ([], {}, 0),
    (["--worker_hosts=a:1,b:1", "--worker_index=1"], {}, 1),
    (["--worker_hosts=a:1,b:1", "--worker_index=9"], {}, 0),
    (["--worker_index=x"], {}, 0),
    ([], SLURM, 1),
    ([], {"SLURM_JOB_NUM_NODES": "2"}, 0),
    (
      [],
      {
        "TF_CONFIG": json.dumps(
          {"cluster": {"worker": HOSTS}, "task": {"type": "worker", "index": 2}}
        )
      },
      2,
    ),
  ],
)
def test_a_worker_is_found_by_its_flags_or_its_launcher(words, environ, index):
  assert index_of(["python", "-m", "launch.train", *words], environ) == index


@pytest.mark.parametrize(
  ("gpus", "seen"),
  [(["GPU-a,GPU-b", "GPU-c"], ["GPU-a,GPU-b", "GPU-c"]), ([], ["7", "7"])],
)
def test_each_worker_sees_its_share_of_the_gpus(monkeypatch, gpus, seen):
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
  program = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
  output = io.StringIO()
  status = run_workers(
    [sys.executable, "-c", program], 2, grace=1.0, stream=output, gpus=gpus
  )
  assert status == 0
  expected = [f"[{i}] {x}" for i, x in enumerate(seen)]
  assert sorted(output.getvalue().splitlines()) == expected
