"""The checkpoints of a run as they lie on disk: listed, verified, pruned."""

import datetime
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

from engine.errors import UserError


def list_all(model_dir: str) -> None:
  """Prints a table of the checkpoints; reads no more than their manifests."""
  from engine.durability import manifest
  from engine.measure.terminal import scores

  rows = [("checkpoint", "written", "size", "state", "versions", "metrics")]
  for name, prefix in checkpoints_of(model_dir):
    size = _mega(_size(prefix))
    try:
      facts = manifest.read_manifest(prefix)
    except manifest.Damaged:
      state = "damaged" if manifest.is_committed(prefix) else "unfinished"
      rows.append((name, "-", size, state, "-", "-"))
      continue
    written = datetime.datetime.fromtimestamp(facts.time)
    versions = json.dumps(facts.versions, sort_keys=True).encode()
    rows.append(
      (
        name,
        f"{written:%Y-%m-%d %H:%M:%S}",
        size,
        "whole",
        hashlib.sha256(versions).hexdigest()[:8],
        scores(facts.metrics) or "-",
      )
    )
  if len(rows) == 1:
    print(f"{model_dir} has no checkpoint.")
    return
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for row in rows:
    cells = map(str.ljust, row, widths)
    print("  ".join(cells).rstrip())


def verify_all(model_dir: str, step: int | None) -> int:
  """Prints what each checkpoint is; returns the status of the door."""
  from engine.durability import manifest

  good = damaged = 0
  found = [
    (name, prefix)
    for name, prefix in checkpoints_of(model_dir)
    if step is None or manifest.step_of(prefix) == step
  ]
  if not found:
    print(f"{model_dir} has no such checkpoint.")
  for name, prefix in found:
    try:
      manifest.verify(prefix)
      good += 1
      print(f"{name}: ok")
    except manifest.Damaged as error:
      committed = manifest.is_committed(prefix)
      damaged += committed
      print(f"{name}: {'damaged' if committed else 'unfinished'}: {error}")
  return 1 if damaged or not good else 0


def prune(model_dir: str, keep: int, lock: Any = None) -> None:
  """Deletes all but the newest whole checkpoints; without a lock: says which.

  Raises:
    UserError: where none is whole, or another job has taken the lock.
  """
  from engine.durability import manifest
  from engine.durability.run_directory import RunDirectory

  directory = RunDirectory(model_dir).checkpoints
  kept: dict[str, Any] = {}
  doomed: list[tuple[str, str]] = []
  for prefix in manifest.prefixes(directory)[::-1]:
    if not manifest.is_committed(prefix):
      doomed.append((prefix, "unfinished"))
    elif len(kept) == keep:
      doomed.append((prefix, "older"))
    else:
      try:
        kept = {prefix: manifest.verify(prefix), **kept}
      except manifest.Damaged as error:
        doomed.append((prefix, f"damaged: {error}"))
  if not kept:
    raise UserError(
      f"{directory} has no whole checkpoint, so nothing is deleted: see "
      "`launch.checkpoints verify`, or delete the directory yourself."
    )
  doomed = doomed[::-1]
  doomed += [
    (path, "leftover")
    for folder in (model_dir, directory)
    for path in manifest.leftovers(folder)
    # The lock's own comes and goes with its heartbeat.
    if not os.path.basename(path).startswith("lock.json")
  ]
  if lock:
    _forget(directory, kept)
  would, freed = "" if lock else "would be ", 0
  for path, why in doomed:
    size = _size(path)
    if lock and not lock.still_held():
      raise UserError(
        f"Another job took over {model_dir}: prune again when it has ended."
      )
    if lock:
      (manifest.remove if why == "leftover" else manifest.delete)(path)
    freed += size
    name = os.path.relpath(path, model_dir)
    print(f"{would}deleted: {name} ({why}, {_mega(size)})")
  names = ", ".join(map(os.path.basename, kept))
  print(f"{would}freed: {_mega(freed)}; kept: {names}")


def checkpoints_of(model_dir: str) -> Iterator[tuple[str, str]]:
  """Yields name and prefix of each checkpoint, finished or not."""
  from engine.durability import manifest

  for folder in ("checkpoints", "best"):
    for prefix in manifest.prefixes(os.path.join(model_dir, folder)):
      yield f"{folder}/{os.path.basename(prefix)}", prefix


def _forget(directory: str, kept: dict[str, Any]) -> None:
  """Leaves only what is kept in TensorFlow's list of checkpoints."""
  import tensorflow as tf

  from engine.files import write_atomically

  state = tf.train.get_checkpoint_state(directory)
  if state is None:
    return
  listed = map(os.path.basename, state.all_model_checkpoint_paths)
  times = dict(zip(listed, state.all_model_checkpoint_timestamps, strict=False))
  # What it does not list was kept for good, and stays so.
  newest = os.path.basename([*kept][-1])
  times.setdefault(newest, [*kept.values()][-1].time)
  names = [x for x in map(os.path.basename, kept) if x in times]
  # Names without a directory: the run can be moved.
  state.model_checkpoint_path = newest
  state.all_model_checkpoint_paths[:] = names
  state.all_model_checkpoint_timestamps[:] = [times[x] for x in names]
  write_atomically(os.path.join(directory, "checkpoint"), str(state))


def _size(path: str) -> int:
  """Bytes of a checkpoint, a file or a directory."""
  import tensorflow as tf

  if tf.io.gfile.isdir(path):
    entries = tf.io.gfile.listdir(path)
    return sum(_size(os.path.join(path, x.rstrip("/"))) for x in entries)
  if tf.io.gfile.exists(path):
    return tf.io.gfile.stat(path).length
  folder, name = os.path.split(path)
  return sum(
    tf.io.gfile.stat(os.path.join(folder, entry)).length
    for entry in tf.io.gfile.listdir(folder)
    if entry.startswith((f"{name}.index", f"{name}.data-", f"{name}.manifest"))
  )


def _mega(size: int) -> str:
  return f"{size / 1e6:.1f} MB"
