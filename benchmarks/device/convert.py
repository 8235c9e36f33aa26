"""Makes exported steps what any JAX calls, and notes what they lose here.

It needs jax, and `run` of this folder. NAME.mlir holds a step as StableHLO that
releases of some months read; NAME.losses.npy the losses of its batches here.
"""

import json
import os
import re
import sys

import jax
import numpy as np
from jax.extend import mlir
from jax.extend.mlir import ir
from jax.interpreters.mlir import make_ir_context
from jaxlib import _hlo
from jaxlib.mlir.dialects import stablehlo

from benchmarks.device import run


def main(folder: str) -> None:
  """Converts all cases of a folder."""
  for name in run.cases(folder):
    convert(folder, name)
    print(name, flush=True)


def convert(folder: str, name: str, *, losses: bool = True) -> None:
  """Converts one case."""
  path = os.path.join(folder, name)
  with open(f"{path}.json") as file:
    facts = json.load(file)
  with open(f"{path}.hlo.pb", "rb") as file:
    module, results, kept = portable(file.read())
  with open(f"{path}.mlir", "wb") as file:
    file.write(module)
  facts["results"] = [[list(shape), dtype] for shape, dtype in results]
  facts["updates"] = kept
  with open(f"{path}.json", "w") as file:
    json.dump(facts, file)
  if losses:
    found = run.losses(run.Case(folder, name))
    np.save(f"{path}.losses.npy", found)


def portable(hlo: bytes):
  """From HLO to what an export holds.

  Returns:
    The serialized module; (shape, type) of each result; argument -> result
    that is its new value.
  """
  with make_ir_context():
    module = ir.Module.parse(mlir.hlo_to_stablehlo(hlo))
    for op in list(walk(module.operation)):
      if op.name == "mhlo.copy":
        op.results[0].replace_all_uses_with(op.operands[0])
        op.erase()
    for op in walk(module.operation):
      names = [getattr(x, "name", x) for x in op.attributes]
      for name in [x for x in names if x.startswith("mhlo.")]:
        del op.attributes[name]
    (main,) = (
      op
      for op in module.body.operations
      if ir.StringAttr(op.attributes["sym_name"]).value == "main"
    )
    kinds = ir.FunctionType(
      ir.TypeAttr(main.attributes["function_type"]).value
    ).results
    shaped = [ir.RankedTensorType(x) for x in kinds]
    results = [(x.shape, _TYPES[str(x.element_type)]) for x in shaped]
    version = stablehlo.get_version_from_compatibility_requirement(
      stablehlo.StablehloCompatibilityRequirement.WEEK_12
    )
    # As JAX's own exports are.
    text = mlir.serialize_portable_artifact(module, version, True)
  head = _hlo.HloModule.from_serialized_hlo_module_proto(hlo).to_string()
  kept = {
    argument: int(result or 0)
    for result, argument in _UPDATE.findall(head.splitlines()[0])
  }
  return text, results, kept


# `{result}: (argument, {}, may-alias)`, in the first line of HLO as text.
_UPDATE = re.compile(r"\{(\d*)\}: \((\d+), \{\}, \w+-alias\)")
_TYPES = {
  "f32": "float32",
  "f64": "float64",
  "i64": "int64",
  "i32": "int32",
  "i1": "bool",
  "bf16": "bfloat16",
}


def walk(op):
  """Yields an MLIR operation and all inside of it."""
  yield op
  for region in op.regions:
    for block in region:
      for inner in block:
        yield from walk(inner.operation)


if __name__ == "__main__":
  jax.config.update("jax_enable_x64", True)
  main(sys.argv[1])
