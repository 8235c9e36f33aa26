"""Compiles a program for a TPU or a GPU, on a machine that has none.

A process of its own, in a Python of its own: it needs jax, and libtpu or jax's
plugin for CUDA; no TensorFlow and no other room of this house. The compiler may
end it. It prints one line of JSON; what the compiler says goes to standard
error. Without --hlo it describes the topology.

jax names no public way to hand a finished module to a compiler of a topology,
so some names below may move: setup.cfg pins jax, a test runs this.
"""

import argparse
import importlib.metadata
import json
import re
import sys
import time
from typing import Any

# A sum of two arrays of 4 TiB: no device holds it, so the compiler's refusal
# names the memory that it grants to a program.
_TOO_LARGE = """
module @probe {
  func.func public @main(%x: tensor<1099511627776xf32>)
      -> tensor<1099511627776xf32> {
    %y = stablehlo.add %x, %x : tensor<1099511627776xf32>
    return %y : tensor<1099511627776xf32>
  }
}
"""
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_REFUSALS = (
  r"\(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)",
  r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm",
)
_COLLECTIVES = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")
_PACKAGES = {"tpu": "libtpu", "cuda": "jax-cuda12-plugin"}
# A collective in HLO as text, and the types of what it takes.
_COLLECTIVE = re.compile(
  rf" = (.+?) ({'|'.join(x.replace('_', '-') for x in _COLLECTIVES)})"
  r"(?:-start)?\("
)
_TYPE = re.compile(r"([a-z]+)(\d+)\[([\d,]*)\]")


def main(argv: list[str]) -> dict[str, Any]:
  """Returns the facts of a topology, or of a program compiled for it."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--platform", choices=_PACKAGES, default="tpu")
  parser.add_argument("--topology", required=True)
  parser.add_argument("--target", help="what a GPU would say of itself")
  parser.add_argument("--devices", type=int, default=1, help="GPUs of the host")
  parser.add_argument("--chip_config")
  parser.add_argument("--replicas", type=int, default=1)
  parser.add_argument("--hlo", help="file with a serialized HloModuleProto")
  args = parser.parse_args(argv)
  try:
    import jax
    from jax.experimental import topologies

    package = _PACKAGES[args.platform]
    versions = {
      "jax": jax.__version__,
      package: importlib.metadata.version(package),
    }
  except (ImportError, importlib.metadata.PackageNotFoundError) as error:
    return {"ok": False, "kind": "missing", "message": str(error)}
  config = {"chip_config_name": args.chip_config} if args.chip_config else {}
  if args.platform == "cuda":
    # Slices, hosts of a slice, GPUs of a host.
    config = {
      "topology": f"1x1x{args.devices}",
      "target_config": args.target,
    }
  try:
    devices = topologies.get_topology_desc(
      topology_name=args.topology, platform=args.platform, **config
    ).devices
  except jax.errors.JaxRuntimeError as error:
    return {"ok": False, "kind": "topology", "message": str(error)}
  on_tpu = args.platform == "tpu"
  if not args.hlo:
    chips = {tuple(x.coords) if on_tpu else x.id for x in devices}
    return {
      "ok": True,
      "devices": len(devices),
      "devices_per_chip": len(devices) // len(chips),
      "hosts": len({x.process_index for x in devices}),
      "kind": devices[0].device_kind,
      "granted_bytes": granted_bytes(devices) if on_tpu else None,
      "versions": versions,
    }
  with open(args.hlo, "rb") as file:
    hlo = file.read()
  start = time.perf_counter()
  try:
    executable = compile_hlo(hlo, devices, args.replicas)
  except jax.errors.JaxRuntimeError as error:
    memory = out_of_memory(str(error))
    if memory is None:
      return {"ok": False, "kind": "refused", "message": str(error)}
    return {"ok": False, "kind": "memory", "needed_bytes": memory[0]}
  return {
    "ok": True,
    "compile_seconds": time.perf_counter() - start,
    **measures(executable, hlo),
  }


def compile_module(module: Any, devices: Any, replicas: int) -> Any:
  """Compiles an MLIR module for the first `replicas` devices."""
  import jaxlib.xla_client
  import numpy as np
  from jax.extend import backend

  used = tuple(devices[:replicas])
  return used[0].client.compile(
    module,
    executable_devices=jaxlib.xla_client.DeviceList(used),
    compile_options=backend.get_compile_options(
      num_replicas=replicas,
      num_partitions=1,
      device_assignment=np.array([[device.id] for device in used]),
    ),
  )


def compile_hlo(hlo: bytes, devices: Any, replicas: int) -> Any:
  """Compiles what TensorFlow lowered."""
  import numpy as np
  from jax.extend import mlir
  from jax.extend.mlir import ir
  from jax.interpreters.mlir import make_ir_context

  with make_ir_context():
    module = ir.Module.parse(mlir.hlo_to_stablehlo(hlo))
    copies, most = [], 1
    for op in walk(module.operation):
      if op.name == "mhlo.copy":
        copies.append(op)
      elif op.name.removeprefix("stablehlo.") in _COLLECTIVES:
        groups = ir.DenseIntElementsAttr(op.attributes["replica_groups"])
        most = max(most, np.array(groups).size)
    # libtpu would end the process over this.
    assert most <= replicas <= len(devices), (most, replicas, len(devices))
    # TensorFlow copies each updated variable into its result, in a dialect
    # that the client refuses; results lie in the place of their arguments.
    for op in copies:
      op.results[0].replace_all_uses_with(op.operands[0])
      op.erase()
    return compile_module(module, devices, replicas)


def walk(op: Any) -> Any:
  """Yields an MLIR operation and all inside of it."""
  yield op
  for region in op.regions:
    for block in region:
      for inner in block:
        yield from walk(inner.operation)


def granted_bytes(devices: Any) -> int | None:
  """Returns the HBM that the compiler grants to a program on one device."""
  import jax
  from jax.extend.mlir import ir
  from jax.interpreters.mlir import make_ir_context

  with make_ir_context():
    try:
      compile_module(ir.Module.parse(_TOO_LARGE), devices, 1)
    except jax.errors.JaxRuntimeError as error:
      memory = out_of_memory(str(error))
      return memory[1] if memory else None
  return None


def out_of_memory(message: str) -> tuple[int, int] | None:
  """Returns (needed, granted) bytes of a refusal for want of memory."""
  for pattern in _REFUSALS:
    found = re.search(pattern, message)
    if found:
      needed, unit, granted, granted_unit = found.groups()
      return (
        int(float(needed) * _UNITS[unit]),
        int(float(granted) * _UNITS[granted_unit]),
      )
  return None


def measures(executable: Any, hlo: bytes) -> dict[str, Any]:
  """Returns bytes and FLOPs of one device in one step, and its collectives.

  Args:
    executable: what was compiled.
    hlo: of what.
  """
  stats = executable.get_compiled_memory_stats()
  parts = ("argument", "output", "alias", "temp", "generated_code")
  size = {part: getattr(stats, f"{part}_size_in_bytes") for part in parts}
  (module,) = executable.hlo_modules()
  return {
    # Updated variables lie where they were: aliased outputs cost nothing.
    "held_bytes": size["argument"] + size["output"] - size["alias"],
    "temporary_bytes": size["temp"],
    "code_bytes": size["generated_code"],
    **costs(executable, module, hlo),
    "collectives": collectives(module.to_string()),
  }


def costs(executable: Any, module: Any, hlo: bytes) -> dict[str, float]:
  """Returns FLOPs, and bytes that the instructions take and give.

  A compiler for GPUs says nothing of them. Then FLOPs are those of the program
  before it was compiled, since products are calls of a library behind that; and
  bytes are those of the instructions that it has become.
  """
  import jax
  import jaxlib.xla_client
  from jaxlib import _hlo

  try:
    cost = executable.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    return {
      "flops": cost.get("flops", 0.0),
      "accessed_bytes": cost.get("bytes accessed", 0.0),
    }
  except jax.errors.JaxRuntimeError:
    pass
  analyse = jaxlib.xla_client._xla.hlo_module_cost_analysis
  host = jax.devices("cpu")[0].client
  given = _hlo.HloModule.from_serialized_hlo_module_proto(hlo)
  return {
    "flops": analyse(host, given)["flops"],
    "accessed_bytes": analyse(host, module)["bytes accessed"],
  }


def collectives(text: str) -> dict[str, dict[str, int]]:
  """Returns kind -> how many there are, and the bytes that they take in all.

  Args:
    text: of a compiled module.
  """
  found: dict[str, dict[str, int]] = {}
  for types, kind in _COLLECTIVE.findall(text):
    each = found.setdefault(kind, {"count": 0, "bytes": 0})
    each["count"] += 1
    for _, bits, sizes in _TYPE.findall(types):
      count = 1
      for size in filter(None, sizes.split(",")):
        count *= int(size)
      each["bytes"] += count * int(bits) // 8
  return found


if __name__ == "__main__":
  print(json.dumps(main(sys.argv[1:])))
