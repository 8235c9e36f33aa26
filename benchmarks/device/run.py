"""Runs exported train steps on a device, by JAX alone, within some minutes.

    python run.py FOLDER [--seconds=420] [--steps=30] [--cpu]

It needs jax and numpy, and for the other side torch and transformers; nothing
of this house. A line of JSON is printed, and written to FOLDER/results.jsonl,
as soon as a case is done: a case that is not there was not measured.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from typing import Any

import numpy as np

SEED = 0
# Dense FLOP/s in bfloat16 by a part of a device's name, from NVIDIA's sheets.
# Not all H100 are SXM cards: others have less.
_PEAKS = {
  "H100 80GB HBM3": 989.4e12,
  "H100 PCIe": 756e12,
  "H200": 989.4e12,
  "A100": 312e12,
}


class Case:
  """A step, its batches and what it should lose."""

  def __init__(self, folder: str, name: str):
    """Reads it."""
    path = os.path.join(folder, name)
    with open(f"{path}.json") as file:
      self.facts: dict[str, Any] = json.load(file)
    with np.load(f"{path}.npz") as stored:
      self.batches = {k.replace("|", "/"): v for k, v in stored.items()}
    with open(f"{path}.mlir", "rb") as file:
      self.module = file.read()
    self.expected = None
    if os.path.exists(f"{path}.losses.npy"):
      self.expected = np.load(f"{path}.losses.npy")

  def exported(self) -> Any:
    """The step, as JAX calls it.

    An export of other code with the same arguments and results, that is given
    this program: so nothing but the names of JAX's own exports is asked for.
    """
    import jax

    results = self.facts["results"]
    like = jax.export.export(
      jax.jit(lambda *_: tuple(jax.numpy.zeros(s, d) for s, d in results)),
      disabled_checks=[jax.export.DisabledSafetyCheck.platform()],
    )(
      *(
        jax.ShapeDtypeStruct(shape, dtype)
        for _, shape, dtype, *_ in self.facts["batch"] + self.facts["state"]
      )
    )
    return dataclasses.replace(
      like,
      mlir_module_serialized=self.module,
      module_kept_var_idx=tuple(range(len(like.in_avals))),
    )

  def arrays(self, k: int) -> list[Any]:
    """The arguments of step k that are no state."""
    count = len(next(iter(self.batches.values())))
    found = []
    for name, _, dtype in self.facts["batch"]:
      value = k if name == "/step" else self.batches[name][k % count]
      found.append(np.asarray(value, dtype))
    return found

  def state(self) -> list[Any]:
    """First weights, drawn here; moments and counters are 0."""
    import jax

    drawn, key = [], jax.random.key(SEED)
    for i, (_, shape, dtype, begins) in enumerate(self.facts["state"]):
      if begins == "normal":
        of_it = jax.random.fold_in(key, i)
        value = 0.02 * jax.random.normal(of_it, shape, "float32")
      elif isinstance(begins, str):
        value = np.full(shape, float(begins == "ones"))
      else:
        value = np.asarray(begins)
      drawn.append(jax.numpy.asarray(value, dtype))
    return drawn


class Runner:
  """Takes the steps of a case, one after the other."""

  def __init__(self, case: Case):
    """Compiles it; the state is updated in place."""
    import jax

    self.case = case
    begun = time.perf_counter()
    exported = case.exported()
    count = len(case.facts["batch"])
    updates = {int(i): j for i, j in case.facts["updates"].items()}
    self._state = case.state()

    def step(batch, state):
      results = exported.call(*batch, *state)
      new = list(state)
      for i, j in updates.items():
        new[i - count] = results[j]
      return results[0], new

    compiled = jax.jit(step, donate_argnums=1)
    self._step = compiled.lower(case.arrays(0), self._state).compile()
    self.compile_seconds = time.perf_counter() - begun
    self.memory = self._step.memory_analysis()

  def take(self, k: int) -> Any:
    """Gives the device step k; returns its numbers, which may not be there."""
    numbers, self._state = self._step(self.case.arrays(k), self._state)
    return numbers

  def losses(self, steps: int) -> np.ndarray:
    """Loss of each of some steps."""
    place = self.case.facts["numbers"].index("loss")
    sums = [float(self.take(k)[place]) for k in range(steps)]
    return np.diff([0.0, *sums])  # The window adds them up.


def losses(case: Case, steps: int = 20) -> np.ndarray:
  """Losses of the first steps of a case."""
  return Runner(case).losses(steps)


def peak_of(device: str) -> float | None:
  """Published FLOP/s of a device by its name; None: not known here."""
  return next((x for part, x in _PEAKS.items() if part in device), None)


def measure(case: Case, steps: int) -> dict[str, Any]:
  """Checks and times one case."""
  import jax

  runner = Runner(case)
  record: dict[str, Any] = {
    "case": case.facts["name"],
    "device": jax.devices()[0].device_kind,
    "compile_seconds": round(runner.compile_seconds, 2),
  }
  checked = len(case.expected) if case.expected is not None else 2
  found = runner.losses(checked)
  if case.expected is not None:
    off = np.abs(found - case.expected) / np.abs(case.expected)
    record["largest_relative_error_of_loss"] = float(off.max())
  begun = time.perf_counter()
  for k in range(checked, checked + steps):
    numbers = runner.take(k)
  jax.block_until_ready(numbers)
  seconds = (time.perf_counter() - begun) / steps
  tokens, flops = (np.mean(case.facts[x]) for x in ("tokens", "flops"))
  peak = peak_of(record["device"])
  if runner.memory is not None:
    record["temporary_bytes"] = runner.memory.temp_size_in_bytes
  stats = jax.devices()[0].memory_stats() or {}
  return record | {
    "seconds_of_a_step": seconds,
    "steps_per_second": 1 / seconds,
    "real_tokens_per_second": tokens / seconds,
    "mfu": flops / seconds / peak if peak else None,
    "peak_bytes": stats.get("peak_bytes_in_use"),
  }


def beside(case: Case, steps: int) -> dict[str, Any]:
  """The same sizes by PyTorch and Transformers, padded, by their attention."""
  name = {"case": case.facts["name"], "by": "transformers"}
  try:
    import torch
    import transformers
  except ImportError as error:
    return name | {"not_measured": str(error)}
  sizes = case.facts["sizes"]
  config = transformers.BertConfig(**sizes, attn_implementation="sdpa")
  device = "cuda" if torch.cuda.is_available() else "cpu"
  model = transformers.BertForSequenceClassification(config).to(device)
  optimizer = torch.optim.AdamW(model.parameters(), fused=device == "cuda")
  examples = case.facts["examples"]
  width = max(case.facts["lengths"])
  ids = torch.randint(5, 1000, (examples, width), device=device)
  lengths = torch.tensor(case.facts["lengths"], device=device)
  mask = (torch.arange(width, device=device)[None] < lengths[:, None]).long()
  labels = torch.zeros(examples, dtype=torch.long, device=device)

  def take():
    with torch.autocast(device, dtype=torch.bfloat16):
      loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss

  for _ in range(3):
    float(take())
  begun = time.perf_counter()
  for _ in range(steps):
    loss = take()
  float(loss)
  seconds = (time.perf_counter() - begun) / steps
  return name | {
    "seconds_of_a_step": seconds,
    "real_tokens_per_second": float(lengths.sum()) / seconds,
    "versions": {"torch": torch.__version__},
  }


def cases(folder: str) -> list[str]:
  """Names of the cases of a folder, those that are worth most first."""
  with open(os.path.join(folder, "cases.json")) as file:
    return json.load(file)


def main(argv: list[str]) -> int:
  """Measures case after case while there is time."""
  begun = time.monotonic()
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("folder")
  parser.add_argument("--seconds", type=float, default=420.0)
  parser.add_argument("--steps", type=int, default=30)
  parser.add_argument("--cpu", action="store_true", help="run without a device")
  args = parser.parse_args(argv)
  try:
    import jax
  except ImportError:
    print("run.py needs jax: name a Python that has it.", file=sys.stderr)
    return 2
  if args.cpu:
    jax.config.update("jax_platforms", "cpu")
  jax.config.update("jax_enable_x64", True)
  if jax.default_backend() == "cpu" and not args.cpu:
    print(
      "There is no device here, jax sees the CPU: run it where there is one, "
      "or add --cpu for a trial.",
      file=sys.stderr,
    )
    return 2
  slowest, compared = 0.0, set()
  for name in cases(args.folder):
    sizes = name.rpartition("-")[0]  # The other side pads, whatever we do.
    others = () if sizes in compared else (beside,)
    compared.add(sizes)
    for what in (measure, *others):
      left = args.seconds - (time.monotonic() - begun)
      if left < slowest:
        print(f"no time for {name} ({left:.0f} s left)", file=sys.stderr)
        return 0
      start = time.monotonic()
      try:
        record = what(Case(args.folder, name), args.steps)
      except Exception as error:  # One case must not take the others along.
        record = {"case": name, "failed": f"{type(error).__name__}: {error}"}
      slowest = max(slowest, time.monotonic() - start)
      line = json.dumps(record)
      print(line, flush=True)
      with open(os.path.join(args.folder, "results.jsonl"), "a") as file:
        file.write(line + "\n")
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
