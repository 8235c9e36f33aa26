"""Some chips of a TPU by their name, as libtpu's compiler knows them."""

import dataclasses
import importlib.metadata
import math
import re

from engine.errors import UserError, quoted
from engine.measure.hardware import GPUS, TPUS
from engine.planning.compiler import Peaks

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
class Tpus:
  """Some chips of one kind, as the compiler knows them."""

  name: str
  chip_config: str = ""

  maker = "libtpu"
  pins = PINS
  environment = _ENVIRONMENT

  def __post_init__(self):
    if not re.fullmatch(rf"({'|'.join(TPUS)}):\d+(x\d+)+", self.name):
      raise UserError(
        f"`topology` is {quoted(self.name)}, but must be a chip and a shape, "
        "v5e:2x2, v6e:2x2, v5p:2x2x1 or v4:2x2x1 for instance; or GPUs: "
        f"{', '.join(GPUS)}, or 8 of them, h100:8."
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
  def arguments(self) -> list[str]:
    """What `device_compile` must be told."""
    said = [f"--topology={self.name}"]
    return said + [f"--chip_config={self.chip_config}"] * bool(self.chip_config)

  def peaks(self, precision: str) -> Peaks:
    """What one device could do at most: a TPU multiplies in bfloat16."""
    del precision
    chip = TPUS[self.chip]
    return Peaks(
      flops=chip.flops / self.devices_per_chip,
      bandwidth=chip.bandwidth / self.devices_per_chip,
      memory=0,
      link=0.0,
      said=f"{chip.hbm} HBM a chip",
      source=chip.source,
    )

  def how_to_install(self) -> str:
    """Returns the command that brings the compiler."""
    return how_to_install()


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
