"""A plan, and what a compiler said of it, as lines to read."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.config import ExperimentConfig
from launch.tpu import Topology

_SHAPES = 4  # As many are named; all are in the JSON.


def plan_lines(plan: Any, config: ExperimentConfig, where: str) -> list[str]:
  """Returns the lines of an `engine.plan.Plan`.

  Args:
    plan: of the run.
    config: of the run.
    where: what the replicas are.
  """
  task, train, evaluation = config.task, plan.train, plan.evaluation
  rates = [f"{rate:.3g} at {n}" for n, rate in plan.learning_rates.items()]
  return [
    f"plan of {task.name}, encoder {task.encoder}, {config.train.precision}, "
    f"batching {task.batching}",
    *rows(
      ("replicas", f"{plan.replicas} ({where})"),
      ("train", _batches(train)),
      ("", _shapes(train)),
      ("epochs end at", _few([str(step) for step in plan.epoch_ends])),
      ("eval", _batches(evaluation)),
      ("", _shapes(evaluation)),
      ("learning rate", _few(rates, shown=6)),
      (
        "checkpoint",
        f"{size(plan.checkpoint_bytes)} ({plan.parameters / 1e6:.1f} M "
        f"parameters, Adam's moments), at most {plan.checkpoints_kept} kept",
      ),
    ),
  ]


def tpu_lines(
  record: Mapping[str, Any], plan: Any, topology: Topology
) -> list[str]:
  """Returns the lines of what was compiled.

  Args:
    record: facts of the topology, and `steps`: name -> what was compiled.
    plan: of the run.
    topology: that it was compiled for.
  """
  steps = record["steps"]
  versions = ", ".join(f"{k} {v}" for k, v in record["versions"].items())
  device = "a chip" if record["devices_per_chip"] == 1 else "half a chip"
  table = [("", *(f"{name} step" for name in steps))]
  for label, cell in (
    ("compiles", _verdict),
    ("shape", lambda s: " x ".join(map(str, s["shape"]))),
    ("rows of a device", lambda s: str(s["rows"])),
    ("memory", lambda s: _memory(s, record["granted_bytes"])),
    ("  held over steps", lambda s: size(s["held_bytes"])),
    ("  temporaries", lambda s: size(s["temporary_bytes"])),
    ("  code", lambda s: size(s["code_bytes"])),
    ("FLOPs", lambda s: _scaled(s["flops"], "FLOP")),
    ("bytes accessed", lambda s: _scaled(s["accessed_bytes"], "B")),
    ("roofline", lambda s: _roofline(s, topology)),
  ):
    needs_ok = label not in ("compiles", "shape", "rows of a device", "memory")
    table.append(
      (
        label,
        *(cell(s) if s["ok"] or not needs_ok else "-" for s in steps.values()),
      )
    )
  peaks = topology.peaks
  lines = [
    f"{topology.name}, compiled, not run ({versions}; {record['devices']} "
    f"devices {record['kind']!r}; all figures are of one device, {device})",
    *_aligned(table),
    *(line for name, s in steps.items() for line in _remarks(name, s, plan)),
  ]
  granted = record["granted_bytes"]
  return [
    *lines,
    *rows(
      ("granted", f"{size(granted)} of HBM by this compiler, to one device")
      if granted
      else ("granted", "unknown: the compiler names no limit"),
      (
        "peaks",
        f"{peaks.flops / 1e12:.0f} TFLOP/s (bf16), "
        f"{peaks.bandwidth / 1e9:.0f} GB/s; a chip has {peaks.hbm} of HBM "
        f"({peaks.source})",
      ),
      ("roofline", "FLOPs and bytes over the peaks; no step was timed"),
    ),
  ]


def rows(*pairs: tuple[str, str]) -> list[str]:
  """Returns names and values, a line each."""
  return [f"  {name:<17} {value}" for name, value in pairs]


def size(count: float) -> str:
  """Returns bytes in words: 1.50 GiB."""
  for unit in ("B", "KiB", "MiB", "GiB"):
    if count < 1000 or unit == "GiB":
      break
    count /= 1024
  return f"{count:.4g} {unit}"


def _scaled(count: float, unit: str) -> str:
  for prefix in ("", "k", "M", "G", "T"):
    if count < 1000 or prefix == "T":
      break
    count /= 1000
  return f"{count:.3g} {prefix}{unit}"


def _few(parts: Sequence[str], shown: int = 8) -> str:
  """Joins parts; leaves out those in the middle of many."""
  if len(parts) > shown:
    parts = [*parts[: shown - 2], "...", parts[-1]]
  return ", ".join(parts)


def _batches(batches: Any) -> str:
  return (
    f"{batches.examples} examples, {batches.steps} steps of "
    f"{batches.batch_size} ({batches.replica_batch_size} a replica); the last "
    f"has {batches.last_batch}"
  )


def _shapes(batches: Any) -> str:
  parts = [
    f"{' x '.join(map(str, shape))} in {steps}"
    for shape, steps in batches.shapes[:_SHAPES]
  ]
  more = len(batches.shapes) - _SHAPES
  parts += [f"and {more} more"] if more > 0 else []
  return (
    f"{len(batches.shapes)} shape(s) to compile: {', '.join(parts)}; "
    f"{batches.padding:.1%} padding"
  )


def _verdict(step: Mapping[str, Any]) -> str:
  if step["ok"]:
    return f"yes, in {step['compile_seconds']:.0f} s"
  return "no: out of memory" if step["kind"] == "memory" else "no"


def _memory(step: Mapping[str, Any], granted: int | None) -> str:
  if step["ok"]:
    needed = sum(
      step[x] for x in ("held_bytes", "temporary_bytes", "code_bytes")
    )
  elif "needed_bytes" in step:
    needed = step["needed_bytes"]
  else:
    return "-"
  share = f" ({needed / granted:.1%})" if granted else ""
  return size(needed) + share


def _roofline(step: Mapping[str, Any], topology: Topology) -> str:
  compute = step["flops"] / topology.peaks.flops * 1e3
  memory = step["accessed_bytes"] / topology.peaks.bandwidth * 1e3
  bound = "compute" if compute > memory else "memory"
  return f"{max(compute, memory):.3g} ms, {bound}-bound"


def _remarks(name: str, step: Mapping[str, Any], plan: Any) -> list[str]:
  """What does not fit the table."""
  remarks = []
  if not step["ok"] and "message" in step:
    message = " ".join(step["message"].split())[:400]
    remarks.append((f"{name} refused", message))
  for op in step["dynamic"]:
    remarks.append((f"{name}, slow", f"size known on the device alone: {op}"))
  largest = step["largest"]
  if largest:
    remarks.append(("largest batch", _largest(largest, plan)))
  return rows(*remarks)


def _largest(largest: Mapping[str, Any], plan: Any) -> str:
  if largest["rows"] is None:
    return "not one row fits a device"
  count = largest["rows"]
  examples = int(count * plan.train.examples_per_row)
  tried = ", ".join(f"{n} {how}" for n, how in largest["tried"].items())
  how = "estimated from a line" if largest["how"] == "line" else "compiled"
  return f"{count} rows of a device, some {examples} examples: {how} ({tried})"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
  """Aligns columns of text."""
  widths = [max(map(len, column)) for column in zip(*table, strict=True)]
  widths[0] = max(widths[0], 17)
  return [
    "  "
    + " ".join(
      f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)
    ).rstrip()
    for row in table
  ]
