"""A TPU topology by its name, and its compiler in a process of its own."""

import dataclasses
import importlib.metadata
import json
import math
import os
import re
import shutil
import subprocess
import tempfile
from typing import Any

from engine.errors import UserError
from engine.measure.hardware import TPUS, Tpu
from engine.planning import tpu_compile

# The pair that was tested; setup.cfg pins it too.
PINS = ("jax==0.10.2", "libtpu==0.0.52")

# libtpu asks a TPU VM's metadata server for these and takes a lock for the
# chips; here there are none, and nothing touches a chip where there are.
_ENVIRONMENT = {
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
  "TPU_ACCELERATOR_TYPE": "v5litepod-1",
  "TPU_SKIP_MDS_QUERY": "1",
  "TPU_WORKER_HOSTNAMES": "localhost",
  "TPU_WORKER_ID": "0",
}


@dataclasses.dataclass(frozen=True)
class Topology:
  """Some chips of one kind, as the compiler knows them."""

  name: str
  chip_config: str = ""

  def __post_init__(self):
    if not re.fullmatch(rf"({'|'.join(TPUS)}):\d+(x\d+)+", self.name):
      raise UserError(
        f"`topology` is {self.name!r}, but must be a chip and a shape: "
        "v5e:2x2, v6e:2x2, v5p:2x2x1 or v4:2x2x1, for instance."
      )
    if self.chip_config and (self.chip, self.chip_config) != ("v4", "megacore"):
      raise UserError(
        f"`chip_config` is {self.chip_config!r} for {self.chip}, but only "
        "'megacore' for v4 is known: leave it out."
      )
    if not self.devices:
      raise UserError(f"`topology` {self.name} has no chip: use v5e:2x2.")

  @property
  def chip(self) -> str:
    """The kind of chip: v5e."""
    return self.name.split(":")[0]

  @property
  def devices_per_chip(self) -> int:
    """Devices, each a replica, that one chip is to a program."""
    return 1 if self.chip_config else TPUS[self.chip].devices

  @property
  def devices(self) -> int:
    """Devices of the topology."""
    chips = math.prod(int(x) for x in self.name.split(":")[1].split("x"))
    return chips * self.devices_per_chip

  @property
  def peaks(self) -> Tpu:
    """What one device could do at most; its HBM is that of the chip."""
    chip = TPUS[self.chip]
    return dataclasses.replace(
      chip,
      flops=chip.flops / self.devices_per_chip,
      bandwidth=chip.bandwidth / self.devices_per_chip,
    )


def how_to_install() -> str:
  """Returns the command that brings the compiler.

  Where tensorflow-tpu trains, it goes into an environment of its own:
  tensorflow-tpu would load the libtpu that is pinned here.
  """
  try:
    importlib.metadata.version("tensorflow-tpu")
  except importlib.metadata.PackageNotFoundError:
    return (
      "`pip install --editable '.[plan]'`, or name a Python that has jax and "
      "libtpu by --plan_python"
    )
  return (
    "`python3 -m venv .plan && .plan/bin/pip install "
    f"{' '.join(PINS)}` and add --plan_python=.plan/bin/python"
  )


class Compiler:
  """libtpu's compiler for one topology.

  Attributes:
    topology: that it compiles for.
    facts: what libtpu says of it.
  """

  def __init__(self, topology: Topology, *, python: str, timeout: float):
    """Asks the compiler about the topology.

    Args:
      topology: to compile for.
      python: an interpreter that has jax and libtpu.
      timeout: seconds after which a compilation is given up.

    Raises:
      UserError: where there is no compiler, or it does not know the topology.
    """
    self.topology = topology
    self._python, self._timeout = python, timeout
    self._arguments = [f"--topology={topology.name}"]
    if topology.chip_config:
      self._arguments.append(f"--chip_config={topology.chip_config}")
    if shutil.which(python) is None:
      raise UserError(f"`plan_python` {python} is no program: name a Python.")
    facts = self._run()
    if facts.get("kind") == "missing":
      raise UserError(
        f"{python} cannot compile for a TPU ({facts['message']}): run "
        f"{how_to_install()}."
      )
    if not facts["ok"]:
      raise UserError(
        f"`topology` {topology.name} is refused by libtpu: {facts['message']}"
      )
    if facts["devices"] != topology.devices:
      raise UserError(
        f"`topology` {topology.name} has {facts['devices']} devices for this "
        f"libtpu, not {topology.devices}: install {' '.join(PINS)}."
      )
    self.facts = facts

  def compile(self, hlo: bytes, *, replicas: int) -> dict[str, Any]:
    """Compiles a program; returns what `tpu_compile` says of it."""
    with tempfile.NamedTemporaryFile(suffix=".hlo.pb") as file:
      file.write(hlo)
      file.flush()
      return self._run(f"--hlo={file.name}", f"--replicas={replicas}")

  def _run(self, *arguments: str) -> dict[str, Any]:
    # -P: this folder's modules are none of the other Python's.
    command = [self._python, "-P", tpu_compile.__file__, *self._arguments]
    environment = {**_ENVIRONMENT, **os.environ, "JAX_PLATFORMS": "cpu"}
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
