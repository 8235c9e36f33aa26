"""Workers start together, or all of them say why not."""

import concurrent.futures
import dataclasses
import socket
import tempfile

import pytest

from engine.cluster import job_token, rendezvous, wire
from engine.cluster.discovery import Cluster
from engine.cluster.greetings import Hello, compare
from engine.cluster.rendezvous import meet
from engine.config import ExperimentConfig, RuntimeConfig, TrainConfig
from engine.errors import UserError
from engine.measure.environment import common_facts
from launch.jobs.ranks import free_ports
from tasks.config import SentencePairConfig
from tests.support import strangers
from tests.support.strangers import Strangers

TOKEN = {job_token.VARIABLE: strangers.TOKEN}
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


def port_of(cluster, index=0):
  return int(cluster.addresses[index].rsplit(":", 1)[1])


def outcomes(clusters, facts=None, timeout=LONG, **settings):
  """Lets the workers meet; returns what each got, a cluster or a message."""

  def one(cluster, fact):
    try:
      return meet(cluster, fact, timeout=timeout, **settings)
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


def test_two_at_one_address_are_refused():
  chief, worker, other = clusters_of(3)
  other = dataclasses.replace(
    other, addresses={**chief.addresses, 2: worker.addresses[1]}
  )
  for message in outcomes([chief, worker, other]):
    assert (
      f"({worker.addresses[1]}): worker 1 says that it is there too" in message
    )


def call(cluster, index, token=strangers.TOKEN):
  """Says hello to the chief as a worker would; returns the connection."""
  address = ("127.0.0.1", port_of(cluster))
  while True:
    try:
      connection = socket.create_connection(address)
      break
    except ConnectionRefusedError:
      pass  # The chief's thread has not begun yet.
  talk = wire.Conversation(token.encode(), calls=True)
  while not talk.trusted:
    talk.feed(connection.recv(100))
    connection.sendall(talk.outgoing)
    talk.outgoing.clear()
  hello = Hello(
    index=index,
    size=cluster.size,
    address=f"127.0.0.1:{free_ports(1)[0]}",
    facts={},
  )
  talk.say(hello.encode())
  connection.sendall(talk.outgoing)
  return connection


def test_a_worker_that_dies_while_others_are_awaited_may_come_back():
  clusters = clusters_of(3)
  with concurrent.futures.ThreadPoolExecutor() as pool:
    chief = pool.submit(meet, clusters[0], {}, timeout=LONG, environ=TOKEN)
    call(clusters[0], 1).close()
    others = outcomes(clusters[1:], [{}, {}], environ=TOKEN)
    assert chief.result().addresses == others[0].addresses
  assert others[1].addresses[1] == clusters[1].addresses[1]


def test_workers_with_another_token_stay_outside():
  chief, worker = clusters_of(2)
  with concurrent.futures.ThreadPoolExecutor() as pool:
    inside = pool.submit(outcomes, [chief], timeout=SHORT, environ=TOKEN)
    other = {job_token.VARIABLE: "the token of another job"}
    (outside,) = outcomes([worker], timeout=SHORT, environ=other)
    (inside,) = inside.result()
  assert "worker 1 did not answer within 0.5 s" in inside
  assert "worker 0" in outside and "did not answer within 0.5 s" in outside


def test_over_a_network_the_token_is_in_the_directory_that_all_share(
  tmp_path, monkeypatch
):
  """As two plain commands find it."""
  monkeypatch.setattr(job_token, "is_loopback", lambda host: False)
  clusters = clusters_of(2)
  one, other = outcomes(clusters, directory=str(tmp_path), environ={})
  assert one.addresses == other.addresses
  assert list(tmp_path.iterdir()) == []
  for message in outcomes(clusters, environ={}):
    assert "set APSIS_JOB_TOKEN to one secret on all workers" in message


def test_what_a_meeting_leaves_behind_is_nothing(tmp_path, monkeypatch):
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
  outcomes(clusters_of(2), environ={})
  (own,) = tmp_path.iterdir()
  assert list(own.iterdir()) == []


@pytest.mark.parametrize("kind", strangers.KINDS)
def test_strangers_of_each_kind_do_no_harm(kind):
  chief, worker = clusters_of(2)
  there = Strangers([kind] * 5)
  with concurrent.futures.ThreadPoolExecutor() as pool:
    host = pool.submit(
      meet, chief, strangers.FACTS, timeout=LONG, environ=TOKEN
    )
    with there.calling(("127.0.0.1", port_of(chief))):
      assert there.all_called.wait(LONG)
      (guest,) = outcomes([worker], [strangers.FACTS], environ=TOKEN)
    assert host.result().addresses == guest.addresses
  own = {i: x.addresses[i] for i, x in enumerate((chief, worker))}
  assert guest.addresses == own
  assert len(there.heard[kind]) == 5
  assert max(there.heard[kind]) <= 32  # Random bytes, and no more.


@pytest.mark.parametrize("kind", strangers.KINDS)
def test_who_sits_at_the_chiefs_port_does_no_harm(kind, monkeypatch):
  monkeypatch.setattr(rendezvous, "_GRACE", 0.1)
  (_, worker), there = clusters_of(2), Strangers([kind])
  with (
    socket.create_server(("127.0.0.1", port_of(worker))) as server,
    there.called_at(server),
  ):
    (said,) = outcomes([worker], [strangers.FACTS], timeout=0.1, environ=TOKEN)
  assert "did not answer within 0.1 s" in said
  assert said.isprintable() and len(said) <= 300
  assert max(there.heard[kind], default=0) <= 32 + 36  # A nonce and a proof.


@pytest.mark.slow
def test_a_thousand_strangers_keep_nobody_out_and_take_no_memory():
  outcome = strangers.campaign(connections=1000, seed=1)
  assert len(outcome.heard) == len(strangers.KINDS) > 20
  assert sum(map(len, outcome.heard.values())) == 1000
  assert outcome.admitted == 0
  assert outcome.grown < 50e6
  assert all(each["addresses"] == outcome.hosts for each in outcome.met)


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
