"""The checkpoints of a run as they lie on disk: listed, verified, pruned."""

import contextlib
import datetime
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

from engine.errors import CannotBeRead, Unreadable, UserError


def list_all(model_dir: str) -> None:
  """Prints a table of the checkpoints; reads no more than their manifests."""
  from engine.durability import manifest
  from engine.measure.terminal import scores

  rows = [("checkpoint", "written", "size", "state", "versions", "metrics")]
  for name, prefix in checkpoints_of(model_dir):
    size = _mega(manifest.size_on_disk(prefix))
    try:
      facts = manifest.read_manifest(prefix)
    except Unreadable as error:
      state = _state(prefix, error)
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
    except Unreadable as error:
      state = _state(prefix, error)
      damaged += state != "unfinished"
      print(f"{name}: {state}: {error.brief}")
  return 1 if damaged or not good else 0


def prune(model_dir: str, keep: int, lock: Any = None) -> None:
  """Deletes all but the newest whole checkpoints; without a lock: says which.

  What cannot be read now stays: nobody knows whether it is whole.

  Raises:
    UserError: where none is whole, or another job has taken the lock.
  """
  from engine.durability import listing, manifest, own
  from engine.durability.run_directory import RunDirectory
  from engine.files import DISK_ERRORS, reason_of

  run = RunDirectory(model_dir)
  run.check_places()
  directory = run.checkpoints
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
      except CannotBeRead as error:
        print(f"left: {os.path.basename(prefix)} ({error.brief})")
      except Unreadable as error:
        doomed.append((prefix, f"damaged: {error.brief}"))
  if not kept:
    raise UserError(
      f"{directory} has no whole checkpoint, so nothing is deleted: see "
      "`launch.checkpoints verify`, or delete the directory yourself."
    )
  doomed = doomed[::-1]
  doomed += [
    (path, "leftover")
    for folder in (model_dir, directory, run.best)
    for path in own.leftovers(folder)
    # The lock's own comes and goes with its heartbeat.
    if not os.path.basename(path).startswith("lock.json")
  ]
  would, freed, left = "" if lock else "would be ", 0, []
  for path, why in doomed:
    is_leftover = why == "leftover"
    size = own.size(path) if is_leftover else manifest.size_on_disk(path)
    if lock and not lock.still_held():
      raise UserError(
        f"Another job took over {model_dir}: prune again when it has ended."
      )
    name = os.path.relpath(path, model_dir)
    if lock:
      try:
        if not (own.remove if is_leftover else manifest.delete)(path):
          print(f"left: {name} (not all of it is the run's)")
          continue
      except DISK_ERRORS as error:
        left.append(f"{name} ({reason_of(error)})")
        continue
    freed += size
    print(f"{would}deleted: {name} ({why}, {_mega(size)})")
  names = ", ".join(map(os.path.basename, kept))
  print(f"{would}freed: {_mega(freed)}; kept: {names}")
  if lock:
    # Behind what makes room for it.
    with contextlib.suppress(*DISK_ERRORS):
      listing.write(directory, _listed(directory, kept))
  if left:
    raise UserError(f"{left[0]} could not be deleted: see to the disk.")


def checkpoints_of(model_dir: str) -> Iterator[tuple[str, str]]:
  """Yields name and prefix of each checkpoint, finished or not."""
  from engine.durability import manifest

  for folder in ("checkpoints", "best"):
    for prefix in manifest.prefixes(os.path.join(model_dir, folder)):
      yield f"{folder}/{os.path.basename(prefix)}", prefix


def _listed(directory: str, kept: dict[str, Any]) -> dict[str, float]:
  """Prefix -> time of what TensorFlow's list has of what is kept."""
  from engine.durability import listing

  listed = listing.read(directory)
  newest = [*kept][-1]
  # What it does not list was kept for good, and stays so.
  return {
    prefix: facts.time
    for prefix, facts in kept.items()
    if listed is None or prefix in listed[0] or prefix == newest
  }


def _state(prefix: str, error: Unreadable) -> str:
  """What is to be said of a checkpoint that cannot be taken."""
  from engine.durability import manifest

  if not manifest.is_committed(prefix):
    return "unfinished"
  return "unknown" if isinstance(error, CannotBeRead) else "damaged"


def _mega(size: int) -> str:
  return f"{size / 1e6:.1f} MB"
