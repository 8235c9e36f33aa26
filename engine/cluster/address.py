"""host:port as text, and the sockets that are bound to it."""

import contextlib
import errno
import ipaddress
import re
import socket
from typing import Any

from engine.errors import quoted

_ADDRESS = re.compile(
  r"(\[[0-9A-F:.]+(?:%\w+)?\]|[\w.-]{1,253}):([1-9]\d{0,4})", re.ASCII | re.I
)
_BACKLOG = 1024  # All workers of a large job may knock in one moment.
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def split(address: str) -> tuple[str, int]:
  """Splits host:port; an address of IPv6 is in brackets.

  Raises:
    ValueError: where it is something else.
  """
  match = _ADDRESS.fullmatch(address)
  if not match or int(match[2]) > 65535:
    raise ValueError(f"{quoted(address)} is not host:port")
  return match[1].strip("[]"), int(match[2])


def is_loopback(host: str) -> bool:
  """Whether a host, as it is written, is nothing but this machine itself.

  No name service is asked, so all workers come to the same answer.
  """
  if host.lower() == "localhost":
    return True
  with contextlib.suppress(ValueError):
    return ipaddress.ip_address(host).is_loopback
  return False


def check_free(port: int) -> None:
  """Sees that TensorFlow's server can have a port, which it takes everywhere.

  Raises:
    OSError: where somebody listens on it, on any address of this machine.
  """
  both = socket.has_dualstack_ipv6()
  with socket.socket(socket.AF_INET6 if both else socket.AF_INET) as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if both:
      probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    probe.bind(("", port))


def listen(host: str, port: int) -> tuple[list[socket.socket], bool]:
  """Listens where a host's name leads on this machine.

  A name may lead elsewhere (to a service or a router in front of this machine),
  nowhere yet, or to loopback only (Debian's /etc/hosts gives a machine's own
  name 127.0.1.1): others reach this machine at an address that it cannot know,
  so then it listens on all of its addresses.

  Returns:
    The sockets, which do not block, and whether they listen on all addresses
    for want of those that are named.

  Raises:
    OSError: where the port is in use.
  """
  with contextlib.ExitStack() as stack:
    servers = [
      stack.enter_context(server)
      for family, place in _places(host, port)
      if (server := _server(family, place))
    ]
    named = bool(servers)
    if not named:
      both = socket.has_dualstack_ipv6()
      family = socket.AF_INET6 if both else socket.AF_INET
      everywhere = _server(family, ("", port), dualstack_ipv6=both)
      servers = [everywhere] if everywhere else []
    stack.pop_all()
  return servers, not named


def _places(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
  """What a name leads to, unless it is loopback without being called so."""
  try:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
  except (OSError, UnicodeError):
    return []
  places: list[tuple[Any, Any]] = [*dict.fromkeys((x[0], x[4]) for x in found)]
  if not is_loopback(host) and all(is_loopback(x[1][0]) for x in places):
    return []
  return places


def _server(
  family: socket.AddressFamily, place: tuple, **options: bool
) -> socket.socket | None:
  """A server at a place; None where this machine has no such address."""
  try:
    server = socket.create_server(
      place, family=family, backlog=_BACKLOG, **options
    )
  except OSError as error:
    if error.errno in _NOT_HERE:
      return None
    raise
  server.setblocking(False)
  return server
