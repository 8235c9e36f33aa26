"""A meeting listens where its address leads, and says where it cannot."""

import socket

import pytest

from engine.cluster import address
from launch.jobs.ranks import free_ports


def named(servers):
  names = {server.getsockname()[0] for server in servers}
  for server in servers:
    server.close()
  return names


@pytest.mark.parametrize(
  ("text", "parts"),
  [
    ("a:1", ("a", 1)),
    ("apsis-0.apsis:2222", ("apsis-0.apsis", 2222)),
    ("node_7:65535", ("node_7", 65535)),
    ("[::1]:5", ("::1", 5)),
    ("[fe80::1%eth0]:5", ("fe80::1%eth0", 5)),
  ],
)
def test_an_address_is_host_and_port(text, parts):
  assert address.split(text) == parts


@pytest.mark.parametrize(
  "text",
  [
    *("", "a", ":5", "a:", "a:0", "a:00001", "a:65536", "a:5:6", "::1:5"),
    *("a b:5", "a:\N{ARABIC-INDIC DIGIT FIVE}", "a:5\n", "\x1b[2J:5", "ü:5"),
    *("[a]:5]", "a/b:5", "u@a:5", f"{'a' * 254}:5"),
  ],
)
def test_anything_else_is_none(text):
  with pytest.raises(ValueError, match="is not host:port"):
    address.split(text)


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.8.9.1", "::1"])
def test_loopback_is_known_by_its_name(host):
  assert address.is_loopback(host)


@pytest.mark.parametrize("host", ["a", "10.0.0.1", "0.0.0.0", "localhost.x"])
def test_no_other_name_is_loopback(host):
  assert not address.is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "localhost"])
def test_it_listens_where_the_name_leads_and_nowhere_else(host):
  servers, everywhere = address.listen(host, free_ports(1)[0])
  assert not everywhere
  assert named(servers) <= {host, "127.0.0.1", "::1"}


@pytest.mark.parametrize(
  "host",
  [
    "192.0.2.1",  # For documents; no machine has it.
    "2001:db8::1",
    "nowhere.invalid",
    "a..b",  # No name at all to Python's resolver.
    "127.1",  # Loopback, but not called so: as Debian's own names.
  ],
)
def test_where_the_name_does_not_lead_here_it_listens_everywhere(host):
  servers, everywhere = address.listen(host, free_ports(1)[0])
  assert everywhere
  assert named(servers) <= {"0.0.0.0", "::"}


def test_it_does_not_block():
  (server,), _ = address.listen("127.0.0.1", free_ports(1)[0])
  with server, pytest.raises(BlockingIOError):
    server.accept()


@pytest.mark.parametrize("taken", ["127.0.0.1", "127.0.0.5", ""])
def test_a_port_is_free_where_nobody_listens_on_any_address(taken):
  port = free_ports(1)[0]
  address.check_free(port)
  with socket.create_server((taken, port)):
    with pytest.raises(OSError, match="in use"):
      address.check_free(port)
    if taken != "127.0.0.5":
      with pytest.raises(OSError, match="in use"):
        address.listen("127.0.0.1", port)
  address.check_free(port)
