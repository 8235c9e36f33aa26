"""Which worker a command starts, and where its log is."""

import json

import pytest

from launch.jobs.ranks import index_of, log_of

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
