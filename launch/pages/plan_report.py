"""A plan, and what a compiler said of it, as lines to read."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from engine.config import ExperimentConfig, TaskConfig
from engine.planning.compiler import Peaks, Topology, needed_bytes

_NAME = 18  # Width of the column of names.
_SHAPES = 4  # As many are named; all are in the JSON.


def plan_lines(plan: Any, config: ExperimentConfig, where: str) -> list[str]:
  """Returns the lines of an `engine.planning.plan.Plan`.

  Args:
    plan: of the run.
    config: of the run.
    where: what the replicas are.
  """
  task, train, evaluation = config.task, plan.train, plan.evaluation
  rates = [f"{rate:.3g} at {n}" for n, rate in plan.learning_rates.items()]
  return [
    ", ".join([f"plan of {task.name}", config.train.precision, *_said(task)]),
    *rows(
      ("replicas", f"{plan.replicas} ({where})"),
      *_batches("train", train),
      ("epochs end at", _few([str(step) for step in plan.epoch_ends])),
      *_evaluations(plan),
      ("learning rate", _few(rates, shown=6)),
      *_batches("eval", evaluation),
      (
        "checkpoint",
        f"{size(plan.checkpoint_bytes)} ({plan.parameters / 1e6:.1f} M "
        f"parameters, Adam's moments), at most {plan.checkpoints_kept} kept",
      ),
    ),
  ]


def _evaluations(plan: Any) -> list[tuple[str, str]]:
  """Says where a run evaluates, if that is not where its epochs end."""
  if plan.evaluates_at == plan.epoch_ends:
    return []
  return [("evaluates at", _few([str(step) for step in plan.evaluates_at]))]


def device_lines(
  record: Mapping[str, Any], topology: Topology, precision: str
) -> list[str]:
  """Returns the lines of what was compiled.

  Args:
    record: facts of the topology, and `steps`: name -> what was compiled.
    topology: that it was compiled for.
    precision: of the products.
  """
  steps = record["steps"]
  versions = ", ".join(f"{k} {v}" for k, v in record["versions"].items())
  device = "a chip" if record["devices_per_chip"] == 1 else "half a chip"
  peaks = topology.peaks(precision)
  granted = record["granted_bytes"]
  asked = "of the card" if peaks.memory else "asked of this compiler"
  return [
    f"{topology.name}: compiled, not run ({versions})",
    *_aligned(_table(steps, granted, peaks, record["devices"])),
    *(line for name, s in steps.items() for line in _remarks(name, s)),
    *rows(
      (
        "device",
        f"{record['kind']}, {record['devices']} of them, each {device} and one "
        "replica; all figures are a device's",
      ),
      *_sent(record),
      (
        "granted memory",
        f"{size(granted)} a device, {asked}"
        if granted
        else "unknown: the compiler names no limit",
      ),
      (
        "published peaks",
        f"{peaks.flops / 1e12:.0f} TFLOP/s ({precision}), "
        f"{peaks.bandwidth / 1e9:.0f} GB/s a device; {peaks.said}",
      ),
      ("", f"({peaks.source})"),
      ("", "roofline: FLOPs and bytes over these; no step was timed"),
    ),
  ]


def _sent(record: Mapping[str, Any]) -> list[tuple[str, str]]:
  """Says what the process that drives all hosts sends to the others."""
  hosts, devices = record["hosts"], record["devices"]
  if hosts == 1:
    return []
  sent = record["steps"]["train"]["batch_bytes"] * devices * (hosts - 1) / hosts
  return [
    (
      "input",
      f"one process gives all devices their rows: {_scaled(sent, 'B')} a train "
      f"step go to other hosts ({hosts - 1})",
    )
  ]


def _table(
  steps: Mapping[str, Any], granted: int | None, peaks: Peaks, replicas: int
) -> list[tuple[str, ...]]:
  """Returns the figures of the steps, a row for each kind of figure."""
  of_all = {
    "compiles": _verdict,
    "shape": lambda s: _times(s["shape"]),
    "examples of a device": lambda s: str(s["examples"]),
    "memory (of grant)": lambda s: _memory(s, granted),
  }
  of_compiled = {
    "  held over steps": lambda s: size(s["held_bytes"]),
    "  temporaries": lambda s: size(s["temporary_bytes"]),
    "  code": lambda s: size(s["code_bytes"]),
    "  batches ahead": lambda s: size(s["ahead_bytes"]),
    "FLOPs": lambda s: _scaled(s["flops"], "FLOP"),
    "bytes accessed": lambda s: _scaled(s["accessed_bytes"], "B"),
    "collectives": lambda s: _collectives(s["collectives"], peaks, replicas),
    "roofline": lambda s: _roofline(s, peaks),
  }
  return [
    ("", *(f"{name} step" for name in steps)),
    *((k, *map(cell, steps.values())) for k, cell in of_all.items()),
    *(
      (k, *(cell(s) if s["ok"] else "-" for s in steps.values()))
      for k, cell in of_compiled.items()
    ),
  ]


def rows(*pairs: tuple[str, str]) -> list[str]:
  """Returns names and values, a line each."""
  return [f"  {name:<{_NAME}} {value}" for name, value in pairs]


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


def _said(task: TaskConfig) -> list[str]:
  """Returns `name value` of each setting that is not left at its default."""
  return [
    f"{field.name} {getattr(task, field.name)}"
    for field in dataclasses.fields(task)
    if field.name != "name" and getattr(task, field.name) != field.default
  ]


def _few(parts: Sequence[str], shown: int = 8) -> str:
  """Joins parts; leaves out those in the middle of many."""
  if len(parts) > shown:
    parts = [*parts[: shown - 2], "...", parts[-1]]
  return ", ".join(parts)


def _batches(name: str, batches: Any) -> list[tuple[str, str]]:
  parts = [
    f"{_times(shape)} ({steps} steps)"
    for shape, steps in batches.shapes[:_SHAPES]
  ]
  more = len(batches.shapes) - _SHAPES
  parts += [f"and {more} more"] if more > 0 else []
  padding = f"{batches.padding:.1%} padding"
  if batches.looked_at < batches.steps:
    padding += f" in {batches.looked_at} of the steps"
  return [
    (
      name,
      f"{batches.examples} examples, {batches.steps} steps of "
      f"{batches.batch_size} ({batches.replica_batch_size} a replica), the "
      f"last of {batches.last_batch}",
    ),
    (f"{name} shapes", f"{', '.join(parts)}: {padding}"),
  ]


def _times(shape: Sequence[int]) -> str:
  return "x".join(map(str, shape))


def _verdict(step: Mapping[str, Any]) -> str:
  if step["ok"]:
    return f"yes, in {step['compile_seconds']:.0f} s"
  return "no: out of memory" if step["kind"] == "memory" else "no"


def _memory(step: Mapping[str, Any], granted: int | None) -> str:
  if step["ok"]:
    needed = needed_bytes(step)
  elif "needed_bytes" in step:
    needed = step["needed_bytes"]
  else:
    return "-"
  share = f" ({needed / granted:.1%})" if granted else ""
  return size(needed) + share


def _roofline(step: Mapping[str, Any], peaks: Peaks) -> str:
  compute = step["flops"] / peaks.flops * 1e3 if peaks.flops else 0.0
  memory = step["accessed_bytes"] / peaks.bandwidth * 1e3
  bound = "compute" if compute > memory else "memory"
  return f"{max(compute, memory):.3g} ms, {bound}-bound"


def _collectives(
  found: Mapping[str, Mapping[str, int]], peaks: Peaks, replicas: int
) -> str:
  """Says which there are; each of n in a ring sends 2 (n - 1) / n of a sum."""
  said = []
  for kind, each in found.items():
    words = f"{each['count']} {kind}, {_scaled(each['bytes'], 'B')}"
    if kind == "all-reduce" and peaks.link:
      sent = 2 * (replicas - 1) / replicas * each["bytes"]
      words += f" (>= {sent / peaks.link * 1e3:.2g} ms)"
    said.append(words)
  return "; ".join(said) or "none"


def _remarks(name: str, step: Mapping[str, Any]) -> list[str]:
  """What does not fit the table."""
  remarks = []
  if not step["ok"] and "message" in step:
    message = " ".join(step["message"].split())[:400]
    remarks.append((f"{name} refused", message))
  for op in step["dynamic"]:
    remarks.append((f"{name}, slow", f"size known on the device alone: {op}"))
  largest = step["largest"]
  if largest:
    remarks.append(("largest batch", _largest(largest)))
  return rows(*remarks)


def _largest(largest: Mapping[str, Any]) -> str:
  """Says how many examples fit, and how that is known."""
  count, tried = largest["examples"], largest["tried"]
  if count is None:
    return "not one example fits a device"
  compiled = [str(n) for n, how in tried.items() if how == "compiled"]
  refused = [f"{n} ({how})" for n, how in tried.items() if how != "compiled"]
  how = "compiled"
  if largest["how"] == "line":
    how = f"estimated: a line through {' and '.join(compiled)} examples"
  if refused:
    how += f"; refused: {', '.join(refused)}"
  return f"{count} examples a device ({how})"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
  """Aligns columns of text."""
  widths = [max(map(len, column)) for column in zip(*table, strict=True)]
  widths[0] = max(widths[0], _NAME)
  return [
    "  "
    + " ".join(
      f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)
    ).rstrip()
    for row in table
  ]
