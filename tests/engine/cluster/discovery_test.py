"""A cluster is what flags, TF_CONFIG or srun describe, or one clear line."""

import json

import pytest

from engine.cluster.discovery import find_cluster, first_host
from engine.config import RuntimeConfig
from engine.errors import UserError


def tf_config(cluster, kind="worker", index=0):
  return {
    "TF_CONFIG": json.dumps(
      {"cluster": cluster, "task": {"type": kind, "index": index}}
    )
  }


def slurm(**changes):
  return {
    "SLURM_PROCID": "2",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "node[9-10]",
    "SLURM_JOB_ID": "317",
    "SLURMD_NODENAME": "node10",
    **changes,
  }


def test_without_a_description_there_is_no_cluster():
  assert find_cluster(RuntimeConfig(), {}) is None
  alone = slurm(SLURM_STEP_NUM_TASKS="1")
  assert find_cluster(RuntimeConfig(), alone) is None


def test_hosts_from_flags_come_before_the_environment():
  config = RuntimeConfig(worker_hosts="a:1, b:2,c:3", worker_index=1)
  cluster = find_cluster(config, tf_config({"worker": ["x:1"]}))
  assert (cluster.size, cluster.index) == (3, 1)
  assert cluster.addresses == {0: "a:1", 1: "b:2", 2: "c:3"}


def test_tf_config_with_and_without_a_chief():
  hosts = {"worker": ["a:1", "b:2"]}
  cluster = find_cluster(RuntimeConfig(), tf_config(hosts, index=1))
  assert (cluster.size, cluster.index) == (2, 1)
  hosts["chief"] = ["c:3"]
  cluster = find_cluster(RuntimeConfig(), tf_config(hosts, index=1))
  assert (cluster.size, cluster.index) == (3, 2)
  assert cluster.addresses[0] == "c:3"
  cluster = find_cluster(RuntimeConfig(), tf_config(hosts, "chief"))
  assert cluster.index == 0


def test_srun_gives_each_rank_a_port_of_its_own():
  """Also where two nodes are one machine."""
  clusters = [
    find_cluster(
      RuntimeConfig(),
      slurm(SLURM_PROCID=str(rank), SLURMD_NODENAME=f"node{9 + rank // 2}"),
    )
    for rank in range(4)
  ]
  own = [cluster.addresses[rank] for rank, cluster in enumerate(clusters)]
  assert own[0].startswith("node9:") and own[3].startswith("node10:")
  assert len({address.rsplit(":", 1)[1] for address in own}) == 4
  for cluster in clusters:
    assert cluster.size == 4
    assert cluster.addresses[0] == own[0]


def test_jobs_and_steps_that_share_a_node_have_other_ports():
  found = {
    find_cluster(RuntimeConfig(), slurm(**changes)).addresses[0]
    for changes in (
      {},
      {"SLURM_STEP_ID": "1"},
      {"SLURM_JOB_ID": "318"},
      {"SLURM_JOB_ID": "318", "SLURM_STEP_ID": "1"},
    )
  }
  assert len(found) == 4


def test_a_job_of_many_nodes_does_not_train_on_one_unasked():
  batch_script = {"SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "317"}
  with pytest.raises(UserError, match="without srun only the first"):
    find_cluster(RuntimeConfig(), batch_script)
  asked = RuntimeConfig(strategy="one_device")
  assert find_cluster(asked, batch_script) is None


@pytest.mark.parametrize(
  ("hostlist", "first"),
  [
    ("node1", "node1"),
    ("a,b", "a"),
    ("node[1-3]", "node1"),
    ("node[007-010,12]", "node007"),
    ("rack[2-3]node[5,7]-ib,other1", "rack2node5-ib"),
  ],
)
def test_the_first_host_of_slurms_notation(hostlist, first):
  assert first_host(hostlist) == first


@pytest.mark.parametrize(
  ("environ", "complaint"),
  [
    ({"TF_CONFIG": "{"}, "TF_CONFIG cannot be read"),
    ({"TF_CONFIG": "[]"}, "TF_CONFIG cannot be read"),
    ({"TF_CONFIG": '{"cluster": {}}'}, "TF_CONFIG cannot be read"),
    (tf_config({"worker": ["a"]}), "'a', but a worker is host:port"),
    (tf_config({"worker": ["a:65536"]}), "'a:65536', but a worker is"),
    (tf_config({"worker": ["a:1", "a:1"]}), "names a:1 twice"),
    (tf_config({"worker": ["a:1"]}, index=1), "is worker 1, but TF_CONFIG"),
    (tf_config({"worker": ["a:1"]}, "evaluator"), "'evaluator'"),
    (slurm(SLURM_DISTRIBUTION="arbitrary"), "distribution is 'arbitrary'"),
    (slurm(SLURM_JOB_ID="x"), "Slurm's variables are incomplete"),
    (
      {k: v for k, v in slurm().items() if k != "SLURM_STEP_NODELIST"},
      "SLURM_STEP_NODELIST",
    ),
  ],
)
def test_nonsense_is_refused(environ, complaint):
  with pytest.raises(UserError, match=complaint):
    find_cluster(RuntimeConfig(), environ)


def test_an_index_beyond_the_hosts_is_refused():
  config = RuntimeConfig(worker_hosts="a:1,b:2", worker_index=2)
  with pytest.raises(UserError, match="has workers 0 to 1"):
    find_cluster(config, {})
