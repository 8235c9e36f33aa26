"""Makes exported steps what any JAX calls, and notes what they lose here.

It needs jax and no other room of this house. NAME.jax holds a step as
`jax.export` serializes it; NAME.losses the losses of its batches here.
"""

import dataclasses
import json
import os
import sys

import jax
import numpy as np
from jax.extend import mlir
from jax.extend.mlir import ir
from jax.interpreters.mlir import make_ir_context
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
  specs = [
    jax.ShapeDtypeStruct(shape, dtype)
    for _, shape, dtype, *_ in facts["batch"] + facts["state"]
  ]
  # An export of the same arguments and results; then the program is ours.
  like = jax.export.export(
    jax.jit(lambda *_: tuple(jax.numpy.zeros(s, d) for s, d in results)),
    disabled_checks=[jax.export.DisabledSafetyCheck.platform()],
  )(*specs)
  ours = dataclasses.replace(
    like,
    mlir_module_serialized=module,
    module_kept_var_idx=tuple(range(len(specs))),
  )
  with open(f"{path}.jax", "wb") as file:
    file.write(ours.serialize())
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
    (main,) = (
      op
      for op in module.body.operations
      if ir.StringAttr(op.attributes["sym_name"]).value == "main"
    )
    kept, clean = {}, []
    for i, attributes in enumerate(ir.ArrayAttr(main.attributes["arg_attrs"])):
      found = ir.DictAttr(attributes)
      if "tf.aliasing_output" in found:
        kept[str(i)] = ir.IntegerAttr(found["tf.aliasing_output"]).value
      clean.append(ir.DictAttr.get({}))
    main.attributes["arg_attrs"] = ir.ArrayAttr.get(clean)
    kinds = ir.FunctionType(
      ir.TypeAttr(main.attributes["function_type"]).value
    ).results
    shaped = [ir.RankedTensorType(x) for x in kinds]
    results = [(x.shape, _TYPES[str(x.element_type)]) for x in shaped]
    version = stablehlo.get_version_from_compatibility_requirement(
      stablehlo.StablehloCompatibilityRequirement.WEEK_12
    )
    # What JAX's own exports are: readable by the releases of some months.
    text = mlir.serialize_portable_artifact(module, version, False)
    return text, results, kept


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
