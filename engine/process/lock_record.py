"""What `lock.json` says of its holder, and whether that process lives."""

import contextlib
import getpass
import json
import os
import secrets
import socket
import time
from typing import Any

from engine.errors import printable, shortened


def own_record(interval: float, now: float, parent: int = 0) -> dict[str, Any]:
  """Makes the record of this process.

  Args:
    interval: seconds between two heartbeats.
    now: seconds since the epoch, for people to read.
    parent: the process that it ends with, if it does with any.
  """
  try:
    user = getpass.getuser()
  except (KeyError, OSError):  # A container whose user has no name.
    user = str(os.getuid())
  return {
    "token": secrets.token_hex(16),
    "user": user,
    **_place(),
    "pid": os.getpid(),
    "started": _stat(os.getpid())[1],
    "parent": parent,
    "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)),
    "interval": interval,
    "beats": 0,
  }


def parse(text: bytes) -> dict[str, Any]:
  """Returns a record; an empty one where it is none."""
  try:
    record = json.loads(text)
  except (ValueError, RecursionError):
    return {}
  return record if isinstance(record, dict) else {}


def who(holder: dict[str, Any]) -> str:
  """Names a holder in a message."""
  if "token" not in holder:
    return "an unknown job (its lock.json cannot be read)"
  user, pid, host, since = (
    shortened(printable(str(holder.get(name, "?"))), 40)
    for name in ("user", "pid", "host", "since")
  )
  return f"{user} (pid {pid} on host {host}, since {since})"


def lives(holder: dict[str, Any]) -> bool | None:
  """Whether the process of a holder lives; None: it cannot be asked for."""
  pid, place = holder.get("pid"), _place()
  if not all(
    value and holder.get(key) == value for key, value in place.items()
  ):
    return None
  if type(pid) is not int or not 0 < pid < 2**31:
    return None
  state, started, _ = _stat(pid)
  if state:
    return state not in ("Z", "X") and started == holder.get("started")
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  except OSError:
    pass
  return None  # It is there, but hidden from us.


def is_orphan(holder: dict[str, Any]) -> bool:
  """Whether a holder that lives here was to end with its parent, which has."""
  parent = holder.get("parent")
  return bool(parent) and _stat(holder["pid"])[2] != parent


def _place() -> dict[str, str]:
  """Where a process id names one process.

  Host names and process ids repeat among containers and after a boot.
  """
  boot_id = pid_namespace = ""
  with contextlib.suppress(OSError):
    with open("/proc/sys/kernel/random/boot_id") as file:
      boot_id = file.read().strip()
    pid_namespace = os.readlink("/proc/self/ns/pid")
  return {
    "host": socket.gethostname(),
    "boot_id": boot_id,
    "pid_namespace": pid_namespace,
  }


def _stat(pid: int) -> tuple[str, int, int]:
  """State, clock ticks from the boot to the start, and parent of a process.

  What psutil makes of the ticks moves with the wall clock.
  """
  try:
    with open(f"/proc/{pid}/stat", "rb") as file:
      # Behind the name, which may hold anything.
      fields = file.read().rpartition(b")")[2].split()
    return fields[0].decode(), int(fields[19]), int(fields[1])
  except (OSError, IndexError):
    return "", 0, 0
