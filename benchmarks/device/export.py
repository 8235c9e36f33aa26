"""Writes train steps for a machine that has a device and no TensorFlow.

    python -m benchmarks.device.export --out=FOLDER
    PYTHON_WITH_JAX -m benchmarks.device.convert FOLDER
    (on the device, FOLDER and run.py alone) python run.py FOLDER

A case is one encoder, batch size and batching: the lowered step, the facts of
its arguments, and some batches. Weights are drawn on the device, from a seed.
"""

import dataclasses
import json
import os

import numpy as np
import tensorflow as tf
from absl import flags

from engine.config import (
  ExperimentConfig,
  RuntimeConfig,
  TrainConfig,
)
from engine.loop.device_step import Numbers
from engine.measure.ledger import Ledger
from engine.planning.lowering import compile_only_strategy, lower
from engine.run.builder import Builder
from engine.task import TOTAL
from launch.command.door import run_door
from tasks.config import SentencePairConfig
from tasks.encoders import find as encoders
from tasks.sentence_pair import SentencePairTask

flags.DEFINE_string("out", None, "Folder for the cases.")
flags.DEFINE_list("only", [], "Names of cases, instead of all.")
_STEPS = 20  # Batches of a case, at most of one shape.
_SMALL = 64  # Numbers of a variable whose values are written down.
_LARGEST = 64 * 2**20  # Bytes of a file.


@dataclasses.dataclass(frozen=True)
class Case:
  """What is exported."""

  encoder: str
  batch_size: int
  batching: str

  @property
  def name(self) -> str:
    """As files are called: base-128-pack."""
    return f"{self.encoder}-{self.batch_size}-{self.batching}"


# The first are worth most, where time is short.
CASES = [
  Case("demo", 32, "pack"),
  *(
    Case(encoder, size, batching)
    for encoder in ("base", "demo", "large")
    for size in (128, 32, 512)
    for batching in ("pack", "pad")
    if (encoder, size, batching) != ("demo", 32, "pack")
  ),
]


def main() -> None:
  """Writes the cases."""
  folder = flags.FLAGS.out
  os.makedirs(folder, exist_ok=True)
  only = flags.FLAGS.only
  chosen = [x for x in CASES if not only or x.name in only]
  for case in chosen:
    export(case, folder)
    print(case.name, flush=True)
  names = json.dumps([case.name for case in chosen])
  write(folder, "cases.json", names.encode())


def export(case: Case, folder: str, *, task_name: str = "demo") -> None:
  """Writes one case: NAME.hlo.pb, NAME.json and NAME.npz."""
  settings = SentencePairConfig(
    name=task_name, encoder=case.encoder, batching=case.batching, dropout=0.0
  )
  task = SentencePairTask(settings)
  config = ExperimentConfig(
    runtime=RuntimeConfig(shapes="gpu"),
    train=TrainConfig(
      train_steps=_STEPS,
      global_batch_size=case.batch_size,
      precision="bfloat16",
    ),
    task=settings,
  )
  strategy = compile_only_strategy(1)
  builder = Builder(
    config=config, task=task, strategy=strategy, ledger=Ledger()
  )
  model, trainer, _ = builder.parts(task.source("train"))
  own = {id(x) for x in model.trainable_variables}
  known = {
    id(v.handle): v
    for v in (
      *model.variables,
      *trainer.optimizer.variables,
      *trainer.window.variables,
      *trainer.guard.variables,
    )
  }
  inputs = trainer.inputs
  lengths = inputs.source.sizes(inputs.order.indices(0))
  layouts = [inputs.layout(k) for k in range(inputs.order.num_batches)]
  shape = max((x.shape for x in layouts), key=np.prod)
  chosen = [k for k, x in enumerate(layouts) if x.shape == shape]
  batches = [batch_of(inputs, k) for k in chosen]
  specs = {
    **{k: tf.TensorSpec(x.shape, x.dtype) for k, x in batches[0].items()},
    "/step": tf.TensorSpec([], tf.int64),
  }
  program = trainer.device_step.program(shape)

  def step(arrays):
    batch = {k: x for k, x in arrays.items() if k != "/step"}
    signals = tf.zeros([0, 2])
    numbers, _ = program(batch, arrays["/step"], tf.constant(False), signals)
    return numbers

  lowered = lower(step, specs, strategy, whole=True)
  facts = {
    "name": case.name,
    "batch": [[k, list(x.shape), x.dtype.name] for k, x in specs.items()],
    "state": [held(handle, known, own) for handle in lowered.handles],
    "numbers": list(Numbers._fields),
    "tokens": [layouts[k].units for k in chosen],
    "capacity": layouts[chosen[0]].capacity,
    "flops": [layouts[k].flops for k in chosen],
    "examples": case.batch_size,
    "sizes": sizes_of(case.encoder),
    "lengths": [int(x) for x in lengths[: case.batch_size]],
  }
  write(folder, f"{case.name}.hlo.pb", lowered.hlo)
  write(folder, f"{case.name}.json", json.dumps(facts).encode())
  path = os.path.join(folder, f"{case.name}.npz")
  stacked = {
    k.replace("/", "|"): np.stack([x[k] for x in batches]) for k in batches[0]
  }
  np.savez_compressed(path, **stacked)
  assert os.path.getsize(path) <= _LARGEST, path


def held(handle: tf.Tensor, known: dict, own: set[int]) -> list:
  """Name, shape and type of what a step holds, and how it begins.

  A variable of the model is drawn; small ones begin as they are, moments at 0.
  """
  variable = known.get(id(handle))
  name = "constant" if variable is None else variable.name
  value = handle
  if handle.dtype == tf.resource:
    facts = handle._handle_data.shape_and_type[0]
    value = tf.raw_ops.ReadVariableOp(resource=handle, dtype=facts.dtype)
  value = value.numpy()
  if variable is not None and id(variable) in own:
    drawn = "normal" if value.ndim > 1 else "zeros"
    begins = "ones" if "gamma" in name else drawn
  elif value.size <= _SMALL:
    begins = value.astype(np.float64).tolist()
  else:
    assert not value.any(), name
    begins = "zeros"
  return [name, list(value.shape), value.dtype.name, begins]


def sizes_of(encoder: str) -> dict[str, int]:
  """The sizes of a BERT, as `transformers` calls them."""
  config = encoders.find(encoder).config
  return {
    name: getattr(config, name)
    for name in (
      "vocab_size",
      "hidden_size",
      "num_hidden_layers",
      "num_attention_heads",
      "intermediate_size",
      "max_position_embeddings",
    )
  }


def batch_of(inputs, step: int) -> dict[str, np.ndarray]:
  """The arrays of a batch, as a device is given them."""
  prepared = inputs.prepared(step)
  arrays = {k: x for k, x in prepared.arrays.items() if x.size}
  return {TOTAL: np.float32(prepared.total), **arrays}


def write(folder: str, name: str, content: bytes) -> None:
  """Writes a file that the device's machine may be sent."""
  assert len(content) <= _LARGEST, name
  with open(os.path.join(folder, name), "wb") as file:
    file.write(content)


if __name__ == "__main__":
  run_door(main, "Exports train steps for a machine without TensorFlow.")
