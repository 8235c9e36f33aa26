"""What differs between two checkpoints, for launch.checkpoints."""

from typing import Any

from engine.errors import Unreadable, UserError
from launch.trained.shelf import checkpoints_of

_SHOWN = 20  # Variables that `diff` names.
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_BOOKKEEPING = ("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter" + _SUFFIX)


def find_two(
  model_dir: str, other_dir: str, step: int | None, other_step: int | None
) -> tuple[str, str]:
  """Returns the prefixes of two checkpoints, by default the newest.

  Args:
    model_dir: directory of a run.
    other_dir: of the run of the other one.
    step: of the one.
    other_step: of the other one.

  Raises:
    UserError: where there are no such two that are finished.
  """
  if step is None and (other_step is not None or model_dir == other_dir):
    second = _whole(other_dir, other_step)
    return _whole(model_dir, None, but=second), second
  first = _whole(model_dir, step)
  return first, _whole(other_dir, other_step, but=first)


def _whole(run: str, step: int | None, but: str = "") -> str:
  """Returns the finished checkpoint of a step, or the newest `but` one."""
  from engine.durability import manifest

  found = {
    manifest.step_of(prefix): prefix
    for _, prefix in [*checkpoints_of(run)][::-1]
    if manifest.is_committed(prefix)
  }
  if step is None:
    step = max((x for x in found if found[x] != but), default=None)
  if step not in found:
    what = "other one" if step is None else f"finished one of step {step}"
    raise UserError(
      f"{run} has no {what} to compare: finished are the steps "
      f"{', '.join(map(str, sorted(found))) or '(none)'}."
    )
  return found[step]


def diff(first: str, second: str) -> int:
  """Prints what differs between two; returns 0 if all variables are equal."""
  import tensorflow as tf

  from engine.durability import manifest

  facts, readers = [], []
  for prefix in (first, second):
    try:
      facts.append(manifest.verify(prefix))
    except Unreadable as error:
      raise UserError(
        f"{prefix} cannot be compared ({error.brief}): choose another --step."
      ) from error
    readers.append(tf.train.load_checkpoint(prefix))
  print(f"- {first}\n+ {second}")
  for kind in ("config", "versions"):
    ours, theirs = (getattr(x, kind) for x in facts)
    for name in sorted({*ours, *theirs}):
      a, b = ours.get(name, "nothing"), theirs.get(name, "nothing")
      if a != b:
        print(f"{kind} {name}: {a} | {b}")
  return tell(*compare(*readers))


def tell(alone: list[str], changed: list[tuple[float, str]]) -> int:
  """Prints what `compare` found; returns 0 if it found nothing."""
  for line in alone:
    print(line)
  for _, line in changed[:_SHOWN]:
    print(line)
  if len(changed) > _SHOWN:
    print(f"and {len(changed) - _SHOWN} more that differ by less")
  if not alone and not changed:
    print("all variables are bitwise equal")
    return 0
  print(f"{len(alone) + len(changed)} variables differ")
  return 1


def compare(ours: Any, theirs: Any) -> tuple[list[str], list[Any]]:
  """What one reader lacks or has otherwise; (size, line)s of what changed."""
  import numpy as np

  first, second = (
    {
      x: shape
      for x, shape in reader.get_variable_to_shape_map().items()
      if x not in _BOOKKEEPING
    }
    for reader in (ours, theirs)
  )
  alone, changed = [], []
  for key in sorted({*first, *second}):
    name = key.removesuffix(_SUFFIX)
    if key not in first or key not in second:
      sign = "-" if key in first else "+"
      alone.append(f"{sign} only {name} {first.get(key) or second.get(key)}")
      continue
    a, b = (np.asarray(x.get_tensor(key)) for x in (ours, theirs))
    if a.shape != b.shape or a.dtype != b.dtype:
      alone.append(
        f"{name}: {a.dtype}{list(a.shape)} | {b.dtype}{list(b.shape)}"
      )
    elif a.dtype == object:
      if a.tolist() != b.tolist():
        changed.append((np.inf, f"{name}: other text"))
    elif a.tobytes() != b.tobytes():
      a, b = (np.atleast_1d(x).astype(np.float64) for x in (a, b))
      with np.errstate(all="ignore"):
        largest = np.max(np.abs(b - a))
        norm = np.linalg.norm(b - a)
        relative = norm and norm / np.linalg.norm(a)
      changed.append(
        (
          np.inf if np.isnan(largest) else largest,
          f"{name}: largest {largest:.3g}, relative norm {relative:.3g}",
        )
      )
  return alone, sorted(changed, key=lambda x: -x[0])
