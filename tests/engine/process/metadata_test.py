"""Whatever answers for the metadata server, the notices go on."""

import contextlib
import itertools
import socket
import threading
import types

import pytest

from engine.process import metadata

TERMINATE = b"TERMINATE_ON_HOST_MAINTENANCE"


@contextlib.contextmanager
def server(answer):
  """Answers each call by `answer(connection, name)`; gives host and names."""
  asked = []

  def one(connection):
    with connection, contextlib.suppress(OSError):
      path = connection.recv(4096).split()[1].decode()
      asked.append(path.removeprefix("/computeMetadata/v1/instance/"))
      answer(connection, asked[-1])

  def serve():
    with contextlib.suppress(OSError):
      while True:
        one(server.accept()[0])

  with socket.create_server(("127.0.0.1", 0)) as server:
    thread = threading.Thread(target=serve)
    thread.start()
    try:
      yield f"127.0.0.1:{server.getsockname()[1]}", asked
    finally:
      server.shutdown(socket.SHUT_RDWR)
      thread.join()


def sends(data):
  return lambda connection, name: connection.sendall(data)


def ok(body):
  return b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def floods(connection, name):
  connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
  while True:
    connection.sendall(b"TRUE" * 2**14)


def sends_heads_only(connection, name):
  connection.sendall(b"HTTP/1.0 200 OK\r\n")
  while True:
    connection.sendall(b"X-Header: TRUE\r\n" * 100)


def nests(connection, name):
  body = b"[" * 60_000 if name.startswith("upcoming") else b"FALSE"
  connection.sendall(ok(body))


@pytest.mark.parametrize(
  "answer",
  [
    floods,
    sends_heads_only,
    nests,
    sends(b""),
    sends(b"\x00\x01\x02\r\n\r\n"),
    sends(b"TRUE"),
    sends(ok(b"\xff\xfe\x00")),
    sends(ok(b"1" * 5000)),
    sends(ok(b"{" * 60_000)),
    sends(ok(b"TRUE").replace(b"200", b"404")),
    sends(ok(b"TRUE").replace(b"200", b"99999999999")),
    sends(b"HTTP/1.0 200 OK\r\nContent-Length: 9999999\r\n\r\nTRUE"),
    sends(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n"),
  ],
)
def test_an_answer_that_makes_no_sense_is_none(answer):
  with server(answer) as (host, asked):
    assert metadata.event_of(host) == ""
    assert len(asked) == 3


def test_an_answer_is_heard_in_whatever_pieces_it_comes():
  def answer(connection, name):
    for byte in ok(TERMINATE if name.startswith("maintenance") else b"FALSE"):
      connection.sendall(bytes([byte]))

  with server(answer) as (host, _):
    assert metadata.event_of(host) == f"maintenance event {TERMINATE.decode()}"


def test_a_server_that_keeps_the_line_open_is_heard(monkeypatch):
  monkeypatch.setattr(metadata, "_TIMEOUT", 0.2)
  done = threading.Event()

  def answer(connection, name):
    connection.sendall(ok(b"TRUE"))
    done.wait(60.0)

  with server(answer) as (host, _):
    assert metadata.event_of(host) == "preemption of this machine"
    done.set()


@pytest.mark.parametrize(("spaces", "found"), [(0, "TRUE"), (99, "")])
def test_a_drip_does_not_stretch_the_time_of_an_answer(
  monkeypatch, spaces, found
):
  """By a clock of which each look lets one more byte come."""
  looks, times = threading.Semaphore(0), itertools.count()

  def monotonic():
    looks.release()
    return next(times) / 10

  def answer(connection, name):
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    for byte in b" " * spaces + b"TRUE":
      looks.acquire(timeout=10.0)
      connection.sendall(bytes([byte]))

  monkeypatch.setattr(
    metadata, "time", types.SimpleNamespace(monotonic=monotonic)
  )
  with server(answer) as (host, _):
    assert metadata._fetch(host, "preempted") == found
    for _ in range(spaces):
      looks.release()


def test_nobody_is_asked_elsewhere():
  with server(sends(ok(b"TRUE"))) as (elsewhere, asked_there):
    moved = f"HTTP/1.0 302 Found\r\nLocation: http://{elsewhere}/\r\n\r\n"
    with server(sends(moved.encode())) as (host, asked):
      assert metadata.event_of(host) == ""
  assert len(asked) == 3 and asked_there == []


@pytest.mark.parametrize(
  "host",
  [
    "127.0.0.1:1",
    "127.0.0.1:x",
    "no host",
    "a:b:c",
    "127.0.0.1:1\r\nX: y",
    "\udcff",
    "[::1",
    "a..b",
  ],
)
def test_a_host_that_is_none_says_nothing(host):
  assert metadata.event_of(host) == ""


def test_the_metadata_server_is_looked_for_on_its_machines_only(
  monkeypatch, tmp_path
):
  product = tmp_path / "product_name"
  monkeypatch.setattr(metadata, "_PRODUCT", str(product))
  monkeypatch.delenv("GCE_METADATA_HOST", raising=False)
  assert metadata.find_metadata_host() == ""
  product.write_text("Standard PC\n")
  assert metadata.find_metadata_host() == ""
  product.write_text("Google Compute Engine\n")
  assert metadata.find_metadata_host() == "169.254.169.254"
  monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:8080")
  assert metadata.find_metadata_host() == "127.0.0.1:8080"
