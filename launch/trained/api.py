"""A trained run in a program of one's own."""

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

from engine.errors import UserError, quoted
from engine.files import DISK_ERRORS, whole
from launch.trained.inputs import Row
from launch.trained.predictions import predict_rows
from launch.trained.restored import Restored, restore_run

_TEXTS = ("text_a", "text_b")


class Model:
  """What a run has learned, to be asked.

      model = load("runs/demo")
      pairs = [("A man eats.", "Somebody eats."), ("A dog.", "Two cats.")]
      for pair, said in zip(pairs, model.predict(pairs)):
        print(said["label"], said["probabilities"], pair)

  Attributes:
    restored: the task, the model with its weights, and their step.
  """

  def __init__(self, restored: Restored):
    self.restored = restored

  def predict(
    self, pairs: Iterable[Sequence[str] | str], batch_size: int = 32
  ) -> list[dict[str, Any]]:
    """Says of each pair what `launch.predict` does.

    Args:
      pairs: two sentences each; or texts, which are single sentences, or the
        lines that a task of your own reads.
      batch_size: pairs in a step.

    Returns:
      Of each: `label` and `probabilities` of the classes by name, or `score`;
      and `truncated`, whether the model has read less than all of it.

    Raises:
      UserError: naming the pair that is none.
    """
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
      raise UserError(f"{quoted(pairs)} is no list: give one of pairs.")
    # A task of one's own reads lines.
    two = getattr(self.restored.task.config, "text_b", None)
    rows = [_row(i, pair, two) for i, pair in enumerate(pairs)]
    found = []
    for part in predict_rows(self.restored, rows, batch_size):
      for said in part:
        values = {
          k: v for k, v in (said.values or {}).items() if k not in _TEXTS
        }
        more = {} if said.cut is None else {"truncated": said.cut}
        found.append({**values, **more})
    return found

  def export(self, directory: str, form: str = "saved_model") -> str:
    """Writes the model for other programs, as `launch.export` does.

    Args:
      directory: a new one; it appears whole.
      form: saved_model, hub, huggingface or tflite.

    Returns:
      What the directory holds, in a line.

    Raises:
      UserError: where it is there already, or the run has no such form.
    """
    if os.path.exists(directory):
      raise UserError(f"{directory} exists: name a new directory.")
    try:
      with whole(directory) as part:
        return self.restored.task.export(self.restored.model, form, part)
    except DISK_ERRORS:
      if not os.path.exists(directory):
        raise
      raise UserError(  # Another process was first.
        f"{directory} has been made meanwhile: name another, or remove it."
      ) from None


def _row(number: int, pair: Any, two: str | None) -> Row:
  """Returns the row of a pair, or of a text where there are not `two`."""
  alone = isinstance(pair, str) or not isinstance(pair, Iterable)
  texts = (pair,) if alone else tuple(pair)
  place = f"pair {number}"
  wanted = 2 if two else 1
  if len(texts) != wanted or not all(isinstance(x, str) for x in texts):
    asked = "two texts, (a, b)" if two else "one text"
    raise UserError(f"{place} is {quoted(pair)}: give {asked}.")
  if two is None:
    return Row(place, texts[0], 0)
  line = json.dumps(dict(zip(_TEXTS, texts, strict=False)))
  return Row(place, line, 0, "json")


def load(
  model_dir: str | os.PathLike,
  *,
  best: bool = False,
  task: str = "",
  precision: str = "",
) -> Model:
  """Loads a run.

  Args:
    model_dir: directory of the run.
    best: whether to take the best evaluation's weights, not the newest.
    task: module:Class of the run's task, if it is your own: its code runs.
    precision: of products, the run's by default; exports are in float32.

  Raises:
    UserError: where there is no run, or it has no checkpoint.
  """
  restored = restore_run(
    os.fspath(model_dir), best=best, task_name=task, precision=precision or None
  )
  return Model(restored)
