"""A compiler for devices that are elsewhere, in a process of its own."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from engine.errors import UserError
from engine.planning import device_compile

_PARTS = ("held_bytes", "temporary_bytes", "code_bytes", "ahead_bytes")


def needed_bytes(step: Mapping[str, Any]) -> int:
  """Returns the memory of a device that a compiled step takes, in all.

  Args:
    step: what the compiler said of it, with the batches that it has ahead.
  """
  return sum(step[part] for part in _PARTS)


class Peaks(NamedTuple):
  """What one device could do at most, as its maker publishes it.

  Attributes:
    flops: FLOP/s; 0: not published for this precision.
    bandwidth: bytes/s of its memory.
    memory: its bytes, where the compiler names no limit; else 0.
    link: bytes/s to the other devices, one way; 0: not known here.
    said: its memory and links, in words.
    source: of these figures.
  """

  flops: float
  bandwidth: float
  memory: int
  link: float
  said: str
  source: str


class Topology(Protocol):
  """Devices of one kind, as a compiler knows them.

  Attributes:
    name: as users write it.
    maker: what compiles for it.
    pins: packages that it needs, as pip takes them.
    environment: of its process.
    devices: each a replica.
    devices_per_chip: that one chip is to a program.
    arguments: what `device_compile` must be told.
  """

  @property
  def name(self) -> str: ...
  @property
  def maker(self) -> str: ...
  @property
  def pins(self) -> Sequence[str]: ...
  @property
  def environment(self) -> Mapping[str, str]: ...
  @property
  def devices(self) -> int: ...
  @property
  def devices_per_chip(self) -> int: ...
  @property
  def arguments(self) -> list[str]: ...

  def peaks(self, precision: str) -> Peaks:
    """What one device could do at most."""

  def how_to_install(self) -> str:
    """Returns the command that brings the compiler."""


class Compiler:
  """The compiler for one topology.

  Attributes:
    topology: that it compiles for.
    facts: what it says of it.
  """

  def __init__(self, topology: Topology, *, python: str, timeout: float):
    """Asks the compiler about the topology.

    Args:
      topology: to compile for.
      python: an interpreter that has jax and the compiler.
      timeout: seconds after which a compilation is given up.

    Raises:
      UserError: where there is no compiler, or it does not know the topology.
    """
    self.topology = topology
    self._python, self._timeout = python, timeout
    if shutil.which(python) is None:
      raise UserError(f"`plan_python` {python} is no program: name a Python.")
    facts = self._run()
    if facts.get("kind") == "missing":
      raise UserError(
        f"{python} cannot compile for {topology.name} "
        f"({facts['message'][:80]}): run {topology.how_to_install()}."
      )
    if not facts["ok"]:
      raise UserError(
        f"`topology` {topology.name} is refused by {topology.maker}: "
        f"{facts['message']}"
      )
    if facts["devices"] != topology.devices:
      raise UserError(
        f"`topology` {topology.name} has {facts['devices']} devices for "
        f"{topology.maker}, not {topology.devices}: install "
        f"{' '.join(topology.pins)}."
      )
    if facts["granted_bytes"] is None:
      facts["granted_bytes"] = topology.peaks("float32").memory or None
    self.facts = facts

  def compile(self, hlo: bytes, *, replicas: int) -> dict[str, Any]:
    """Compiles a program; returns what `device_compile` says of it."""
    with tempfile.NamedTemporaryFile(suffix=".hlo.pb") as file:
      file.write(hlo)
      file.flush()
      return self._run(f"--hlo={file.name}", f"--replicas={replicas}")

  def _run(self, *arguments: str) -> dict[str, Any]:
    # -P: this folder's modules are none of the other Python's.
    script = device_compile.__file__
    command = [self._python, "-P", script, *self.topology.arguments]
    environment = {
      **self.topology.environment,
      **os.environ,
      "JAX_PLATFORMS": "cpu",
    }
    try:
      child = subprocess.run(
        [*command, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=self._timeout,
      )
    except subprocess.TimeoutExpired:
      message = f"not compiled within {self._timeout:g} s"
      return {"ok": False, "kind": "timeout", "message": message}
    if child.returncode == 0:
      return json.loads(child.stdout.splitlines()[-1])
    said = child.stderr.splitlines()
    why = [x for x in said if "Check failed" in x or "Error" in x] or said[-1:]
    message = f"the compiler ended with status {child.returncode}: {why[:1]}"
    return {"ok": False, "kind": "aborted", "message": message}
