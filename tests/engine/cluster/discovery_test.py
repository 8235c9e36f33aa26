"""A cluster is what flags, TF_CONFIG or srun describe, or one clear line."""

import json
import random

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
    ({"TF_CONFIG": "[" * 100_000}, "TF_CONFIG cannot be read"),
    (tf_config({"worker": ["a:1"]}, index=1e400), "TF_CONFIG cannot be read"),
    (tf_config({"worker": ["a:1"]}, index=-1), "TF_CONFIG cannot be read"),
    (tf_config({"worker": ["a:1"]}, index=10**11), "TF_CONFIG cannot be read"),
    (tf_config({"worker": [["a:1"]]}), "but a worker is host:port"),
    (tf_config({"worker": ["a:1", "A:1"]}), "names A:1 twice"),
    (tf_config({"worker": ["x" * 10**6]}), "but a worker is host:port"),
    (tf_config({"worker": ["a:1"]}, ["worker"]), "makes this process a"),
    (tf_config({"worker": ["a:1"]}, "x" * 10**6), "makes this process a"),
    ({"SLURM_STEP_NUM_TASKS": "x"}, "'x' is not a number"),
    ({"SLURM_STEP_NUM_TASKS": "9" * 5000}, "is not a number"),
    ({"SLURM_JOB_NUM_NODES": "-2"}, "'-2' is not a number"),
    (slurm(SLURM_PROCID="4"), "rank 4 of 4"),
    (slurm(SLURM_PROCID="-1"), "'-1' is not a number"),
    (slurm(SLURM_STEP_NUM_TASKS="40000"), "rank 2 of 40000"),
    (slurm(SLURM_STEP_ID="\N{SUPERSCRIPT TWO}"), "is not a number"),
    (slurm(SLURM_STEP_NODELIST="["), "':10288' is not host:port"),
    (slurm(SLURM_STEP_NODELIST=""), "':10288' is not host:port"),
    (slurm(SLURM_STEP_NODELIST="a\x1b[2J"), "is not host:port"),
    (slurm(SLURMD_NODENAME="a b"), "'a b:.*' is not host:port"),
  ],
)
def test_nonsense_is_refused(environ, complaint):
  with pytest.raises(UserError, match=complaint) as caught:
    find_cluster(RuntimeConfig(), environ)
  assert len(str(caught.value)) <= 300 and str(caught.value).isprintable()


@pytest.mark.parametrize(
  "hosts",
  [
    *("a:1,a:1", "a:1,A:1", "a:0", "a", ":5,:6", "a:00001,a:1", "a b:5,c:6"),
    *("a:\N{ARABIC-INDIC DIGIT FIVE},b:6", ",", "a:1,", "::1:5,b:6", "a:1\x1b"),
  ],
)
def test_hosts_that_are_none_are_refused(hosts):
  with pytest.raises(UserError, match=r"host:port|twice") as caught:
    find_cluster(RuntimeConfig(worker_hosts=hosts), {})
  assert str(caught.value).isprintable()


def test_an_address_of_ipv6_is_a_host_in_brackets():
  config = RuntimeConfig(worker_hosts="[::1]:5,b:6")
  assert find_cluster(config, {}).addresses == {0: "[::1]:5", 1: "b:6"}


def test_whatever_launchers_say_ends_in_a_cluster_or_in_one_line():
  pieces = (
    *(
      '{"cluster"',
      ': {"worker": ["a:1", "b:2"]}',
      ', "task": ',
      '"index": 0}',
    ),
    *('{"type": "worker", ', "}}", "]", "[", "1e999", "-1", "0", "null", '"'),
    *("node[1-3]", "a", "x" * 999, "\x1b[2J", "\udcff", "", "12", "9" * 99),
  )
  names = ("TF_CONFIG", *slurm(), "SLURM_STEP_ID", "SLURM_JOB_NUM_NODES")
  for generator in map(random.Random, range(3000)):
    environ = slurm() if generator.random() < 0.5 else {}
    for name in generator.sample(names, 3):
      some = generator.randint(1, 4)
      environ[name] = "".join(generator.choices(pieces, k=some))
    try:
      cluster = find_cluster(RuntimeConfig(), environ)
      assert cluster is None or 0 <= cluster.index < cluster.size
    except UserError as error:
      assert len(str(error)) <= 300, environ


def test_an_index_beyond_the_hosts_is_refused():
  config = RuntimeConfig(worker_hosts="a:1,b:2", worker_index=2)
  with pytest.raises(UserError, match="has workers 0 to 1"):
    find_cluster(config, {})
