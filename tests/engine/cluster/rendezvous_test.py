"""Workers start together, or all of them say why not."""

import concurrent.futures
import dataclasses
import socket

import pytest

from engine.cluster.discovery import Cluster
from engine.cluster.rendezvous import compare, meet
from engine.config import ExperimentConfig, RuntimeConfig, TrainConfig
from engine.errors import UserError
from engine.measure.environment import common_facts
from launch.jobs.ranks import free_ports
from tasks.config import SentencePairConfig

LONG, SHORT = 60.0, 0.5  # No test waits for the long one.


def clusters_of(size):
  """One view of a cluster for each worker; each knows itself and the chief."""
  hosts = [f"127.0.0.1:{port}" for port in free_ports(size)]
  return [
    Cluster(
      size=size,
      index=i,
      addresses={0: hosts[0], i: hosts[i]},
      found_in="a test",
    )
    for i in range(size)
  ]


def outcomes(clusters, facts=None, timeout=LONG):
  """Lets the workers meet; returns what each got, a cluster or a message."""

  def one(cluster, fact):
    try:
      return meet(cluster, fact, timeout=timeout)
    except UserError as error:
      return str(error)

  facts = facts or [{"seed": 0}] * len(clusters)
  with concurrent.futures.ThreadPoolExecutor() as pool:
    return list(pool.map(one, clusters, facts))


def test_all_learn_all_addresses():
  clusters = clusters_of(3)
  own = {i: cluster.addresses[i] for i, cluster in enumerate(clusters)}
  for i, met in enumerate(outcomes(clusters)):
    assert met.addresses == own
    assert (met.index, met.size) == (i, 3)


def test_a_cluster_of_one_needs_nobody():
  (met,) = outcomes(clusters_of(1))
  assert met.size == 1


def test_a_fact_that_differs_is_named_to_all():
  facts = [{"seed": 0, "x": 1}, {"seed": 0, "x": 1}, {"seed": 7, "x": 1}]
  clusters = clusters_of(3)
  said = outcomes(clusters, facts)
  assert len(set(said)) == 1
  assert f"worker 2 ({clusters[2].addresses[2]}) differs" in said[0]
  assert "seed: 0 -> 7" in said[0] and "x:" not in said[0]


def test_who_never_came_is_named_to_those_who_did():
  clusters = clusters_of(3)
  absent = dataclasses.replace(
    clusters[0], addresses={**clusters[0].addresses, 2: "10.0.0.3:77"}
  )
  said = outcomes([absent, clusters[1]], timeout=SHORT)
  assert said[0] == said[1]
  assert "worker 2 (10.0.0.3:77) did not answer within 0.5 s" in said[0]


def test_a_chief_that_never_came_is_named():
  clusters = clusters_of(2)
  (said,) = outcomes(clusters[1:], timeout=SHORT)
  assert f"worker 0 ({clusters[0].addresses[0]}) did not answer" in said


@pytest.mark.parametrize("taken", [0, 1])
def test_a_port_in_use_is_named(taken):
  clusters = clusters_of(2)
  port = int(clusters[taken].addresses[taken].rsplit(":", 1)[1])
  with socket.create_server(("", port)) as server:
    server.listen()
    if taken == 0:
      said = outcomes(clusters[:1], timeout=SHORT)
    else:
      said = outcomes(clusters)
  for message in said:
    assert f"port {port} cannot be had" in message
    assert f"worker {taken}" in message


def test_two_processes_with_one_index_are_refused():
  chief, worker = clusters_of(2)
  three = [
    dataclasses.replace(cluster, size=3) for cluster in (chief, worker, worker)
  ]
  ports = free_ports(1)
  three[2] = dataclasses.replace(
    worker,
    size=3,
    addresses={0: chief.addresses[0], 1: f"127.0.0.1:{ports[0]}"},
  )
  for message in outcomes(three):
    assert "two processes say that they are worker 1" in message


def test_strangers_at_the_port_do_no_harm():
  chief, worker = clusters_of(2)
  address = ("127.0.0.1", int(chief.addresses[0].rsplit(":", 1)[1]))
  with concurrent.futures.ThreadPoolExecutor() as pool:
    host = pool.submit(meet, chief, {}, timeout=LONG)
    for words in (b"GET / HTTP/1.1\r\n\r\n", b'"index"\n', b'{"index": 1}\n'):
      while True:
        try:
          with socket.create_connection(address) as stranger:
            stranger.sendall(words)
          break
        except ConnectionRefusedError:
          pass  # The chief's thread has not begun yet.
    guest = pool.submit(meet, worker, {}, timeout=LONG)
    assert host.result().addresses == guest.result().addresses


def test_settings_and_versions_are_compared_but_not_who_one_is():
  def config(index, seed):
    return ExperimentConfig(
      runtime=RuntimeConfig(worker_hosts="a:1,b:2", worker_index=index),
      train=TrainConfig(seed=seed),
      task=SentencePairConfig(data_dir=f"/{index}"),
    )

  one, two, other = (
    common_facts(config(i, seed)) for i, seed in ((0, 1), (1, 1), (1, 2))
  )
  assert compare(one, two) == []
  assert compare(one, other) == ["train.seed: 1 -> 2"]
  assert one["version of tensorflow"].startswith("2.")
