"""What workers say is checked to the last field before it is believed."""

import contextlib
import dataclasses
import json
import random

import pytest

from engine.cluster.discovery import Cluster
from engine.cluster.greetings import Answer, Hello, compare, refusal
from engine.cluster.wire import Stranger

HELLO = Hello(index=1, size=3, address="b:5000", facts={"seed": 0})
HOSTS = ["a:5000", "b:5000", "c:5000"]
CLUSTER = Cluster(
  size=3, index=1, addresses={0: "a:5000", 1: "b:5000"}, found_in="a test"
)


def said(**changes):
  return json.dumps({**vars(HELLO), **changes}).encode()


def answered(**changes):
  return json.dumps({"addresses": HOSTS, "refusal": "", **changes}).encode()


def refused(*heard, cluster=CLUSTER, timeout=1.0, strangers=0):
  return refusal(cluster, heard, timeout=timeout, strangers=strangers)


def test_a_hello_comes_back():
  facts = {"a": 1, "b": [1.5, None], "c": "ü", "d": float("inf")}
  hello = dataclasses.replace(HELLO, facts=facts)
  assert Hello.decode(hello.encode()) == hello


@pytest.mark.parametrize(
  "changes",
  [
    *({"index": x} for x in (-5, 0, 3, 99, True, "1", 1.0, None, [1])),
    {"index": float("inf")},
    *({"size": x} for x in (1, 0, "3", 3.0)),
    *({"address": x} for x in ("", "b", 5, None, ["b:5000"], "b:5000\x1b[2J")),
    {"address": "not an address\n\x1b[2J"},
    *({"facts": x} for x in ([], "", None, 5)),
    *({"error": x} for x in (None, ["\x1b[2J"], 5)),
    {"more": 1},
  ],
)
def test_what_no_worker_would_say_is_a_strangers(changes):
  with pytest.raises(Stranger):
    Hello.decode(said(**changes))


@pytest.mark.parametrize("message", [b"[]", b"5", b"null", b"{}", b'"index"'])
def test_what_is_no_hello_is_a_strangers(message):
  with pytest.raises(Stranger):
    Hello.decode(message)
  with pytest.raises(Stranger):
    Answer.decode(message, CLUSTER)


def test_an_answer_comes_back():
  answer = Answer(addresses=HOSTS)
  assert Answer.decode(answer.encode(), CLUSTER) == answer


@pytest.mark.parametrize(
  "changes",
  [
    *({"addresses": x} for x in (5, None, "a:5000", {}, [], ["evil:1"])),
    *({"addresses": [*HOSTS[:2], x]} for x in (1, None, "c", "a:5000", [], {})),
    {"addresses": [*HOSTS, "d:5000"]},
    {"addresses": ["a:5000", "evil:1", "c:5000"]},
    {"addresses": ["evil:1", "b:5000", "c:5000"]},
    {"addresses": {0: "a:5000"}},
    *({"refusal": x} for x in (None, 5, ["\x1b[2Jx"])),
    {"more": 1},
  ],
)
def test_what_no_chief_of_this_worker_would_say_is_a_strangers(changes):
  with pytest.raises(Stranger):
    Answer.decode(answered(**changes), CLUSTER)


def test_a_refusal_is_one_short_clean_line():
  message = answered(refusal="\x1b[31mno\n" * 10_000, addresses=[5])
  answer = Answer.decode(message, CLUSTER)
  assert (
    answer.refusal.startswith(r"\x1b[31mno \x1b") and len(answer.refusal) == 300
  )
  assert answer.addresses == []


def test_made_up_messages_are_believed_only_where_they_make_sense():
  values = (0, 1, 2, -1, 1e400, "", "a:1", "b:5000", None, [], {}, True, HOSTS)
  for generator in map(random.Random, range(2000)):

    def altered(message, generator=generator):
      name = generator.choice([*message, "more"])
      return {**message, name: generator.choice(values)}

    hello = altered(vars(HELLO))
    with contextlib.suppress(Stranger):
      found = Hello.decode(json.dumps(hello).encode())
      assert vars(found) == hello and 0 < found.index < found.size
    hosts = [*HOSTS]
    hosts[generator.randrange(3)] = generator.choice(values)
    answer = altered({"addresses": hosts, "refusal": ""})
    with contextlib.suppress(Stranger):
      found = Answer.decode(json.dumps(answer).encode(), CLUSTER)
      assert found.refusal or found.addresses[:2] == HOSTS[:2]


def chief(**changes):
  return dataclasses.replace(HELLO, index=0, address="a:5000", **changes)


def test_who_is_missing_is_named_with_what_is_known_of_it():
  assert refused(chief(), HELLO) == (
    "worker 2 did not answer within 1 s: start it, or mend its address; "
    "--startup_timeout waits longer."
  )
  assert "(calls without this job's token: 7)" in refused(chief(), strangers=7)


def test_of_many_who_are_missing_the_first_are_named():
  cluster = dataclasses.replace(CLUSTER, size=1000)
  line = refused(chief(size=1000), cluster=cluster)
  assert "worker 4 and 995 more did not answer" in line and len(line) <= 300


def test_two_at_one_place_are_refused():
  twin = dataclasses.replace(HELLO, index=2)
  assert "worker 2 (b:5000): worker 1 says that it is there too" in refused(
    chief(), HELLO, twin
  )


def test_an_address_that_the_chief_knows_otherwise_is_refused():
  moved = dataclasses.replace(HELLO, address="x:5000")
  assert "(address: 'b:5000' -> 'x:5000')" in refused(chief(), moved)


def test_differences_are_clean_and_fit_into_a_line():
  facts = {f"\x1b[2J{i}": "x" * 10_000 for i in range(100)}
  line = refused(chief(), dataclasses.replace(HELLO, facts=facts))
  assert line.startswith("worker 1 (b:5000) differs from worker 0 (a:5000)")
  assert line.endswith("): start all workers alike.")
  assert len(line) <= 300 and line.isprintable()


def test_an_error_of_a_worker_is_cleaned():
  evil = dataclasses.replace(HELLO, error="\x1b]0;title\x07run this")
  told = refused(chief(), evil)
  assert r"worker 1 (b:5000): \x1b]0;title\x07run this: end" in told


def test_only_facts_that_differ_are_named():
  assert compare({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == [
    "b: 2 -> 3",
    "c: None -> 4",
  ]
