"""Two hosts on one machine: network namespaces with a link of a given rate.

Needs Linux, root, and iproute2 (`ip`, `tc`). A veth pair joins the namespaces;
a token bucket on both ends limits it, after its own sending only: latency is
that of the kernel.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator

from engine.errors import UserError

_BURST = "512kb"  # Some packets of 64 KiB, as segmentation offload makes them.


def missing() -> str:
  """Says what this machine lacks for it; empty: nothing."""
  absent = [tool for tool in ("ip", "tc") if shutil.which(tool) is None]
  if absent:
    return f"{' and '.join(absent)} missing: install iproute2"
  if os.geteuid() != 0:
    return "network namespaces need root"
  name = f"apsis{os.getpid()}t"
  run = subprocess.run(["ip", "netns", "add", name], capture_output=True)
  if run.returncode:
    return "this kernel makes no network namespaces here"
  subprocess.run(["ip", "netns", "del", name], check=True)
  return ""


@contextlib.contextmanager
def two_hosts(rate: str) -> Iterator[list[tuple[str, str]]]:
  """Makes two namespaces, and takes them away whatever happens.

  Args:
    rate: as `tc` writes it: 1gbit, 100mbit, ...

  Yields:
    Name and address of each: run a command there by `ip netns exec NAME`.

  Raises:
    UserError: where the machine cannot, or `rate` is no rate.
  """
  if not re.fullmatch(r"\d+(\.\d+)?[kmg]bit", rate):
    raise UserError(f"`rate` is {rate!r}, but must be like 1gbit or 100mbit.")
  reason = missing()
  if reason:
    raise UserError(f"Two hosts cannot be made: {reason}.")
  # The names are this process's own, so nobody else's can be hit.
  names = [f"apsis{os.getpid()}{side}" for side in "ab"]
  addresses = ["10.77.0.1", "10.77.0.2"]
  try:
    for name in names:
      _ip("netns", "add", name)
    _ip("link", "add", names[0], "type", "veth", "peer", "name", names[1])
    for name, address in zip(names, addresses, strict=True):
      _ip("link", "set", name, "netns", name)
      _ip("-n", name, "addr", "add", f"{address}/24", "dev", name)
      _ip("-n", name, "link", "set", name, "up")
      _ip("-n", name, "link", "set", "lo", "up")
      _run("tc", "-n", name, "qdisc", "add", "dev", name, "root", "tbf",
           "rate", rate, "burst", _BURST, "latency", "100ms")  # fmt: skip
    yield list(zip(names, addresses, strict=True))
  finally:
    for name in names:
      # The link goes with its namespace.
      subprocess.run(["ip", "netns", "del", name], capture_output=True)


def _ip(*arguments: str) -> None:
  _run("ip", *arguments)


def _run(*command: str) -> None:
  run = subprocess.run(command, capture_output=True, text=True)
  if run.returncode:
    raise UserError(f"`{' '.join(command)}` failed: {run.stderr.strip()}.")
