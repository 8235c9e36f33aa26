"""What the newest evaluation of a run said of each example of a split."""

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from engine.errors import Damaged, Missing, shortened
from engine.files import DISK_ERRORS, reason_of, write_atomically
from engine.formats import read_arrays
from engine.measure.journal import Journal
from engine.task import LABELS, WEIGHTS, Source

_LONGEST = 2000  # Characters that are kept of an example,
_ROOM = 2**22  # of all examples together,
_WORST = 50  # but of so many examples at least,
_MOST = 10_000  # and at most.
MARK = "mark."  # Before the name of a mark, whether each example has it.


def path_of(directory: str, split: str) -> str:
  """Returns where the examples of a split are, in the directory of a run."""
  return os.path.join(directory, "examples", f"{split}.npz")


def keep(
  directory: str,
  splits: Sequence[str],
  evaluated: Sequence[tuple[Mapping[str, Any], Source]],
  *,
  step: int,
  log: Journal,
) -> None:
  """Keeps what evaluations said of each example, for who looks into it.

  The worst examples go to TensorBoard too. What the disk does not take is told,
  and the run goes on: the next evaluation has its own.

  Args:
    directory: of the run.
    splits: their names.
    evaluated: of each, what `Evaluator.predictions` returned, and the split.
    step: at which.
    log: of the run.
  """
  for split, (table, source) in zip(splits, evaluated, strict=True):
    try:
      worst = write(
        directory,
        split,
        step=step,
        table=table,
        source=source,
      )
      log.write_text("eval", step, f"{split}: largest losses", markdown(worst))
    except DISK_ERRORS as error:
      logging.warning(
        "examples/%s.npz could not be written (%s): what the evaluation of "
        "step %d said of each example is in no report.",
        *(split, reason_of(error), step),
      )


def write(
  directory: str,
  split: str,
  *,
  step: int,
  table: Mapping[str, Any],
  source: Source,
) -> list[tuple[float, str]]:
  """Writes the examples of a split, whole or not at all.

  Args:
    directory: of the run.
    split: that was evaluated.
    step: at which.
    table: what `Evaluator.predictions` returned.
    source: the split.

  Returns:
    (loss, content) of those with the largest losses, the largest first.
  """
  losses, every = table["losses"], np.arange(len(table["losses"]))
  worst = np.argsort(-losses, kind="stable")[:_MOST]
  texts = [shortened(text, _LONGEST) for text in source.describe(worst)]
  # In an array each text has the room of the longest.
  widest = max(map(len, texts), default=1)
  kept = max(_WORST, _ROOM // max(widest, 1))
  worst, texts = worst[:kept], texts[:kept]
  outputs = table["outputs"]
  arrays = {
    "step": np.array(step),
    "labels": table[LABELS],
    "weights": table[WEIGHTS],
    "losses": losses,
    "ids": _ids(source.ids(every)),
    "sizes": source.sizes(every),
    "worst": worst,
    "texts": np.array(texts, str),
  }
  if isinstance(outputs, np.ndarray):
    arrays["outputs"] = outputs
  for name, (places, _) in source.marks.items():
    arrays[MARK + name] = np.isin(every, places)
  content = io.BytesIO()
  np.savez_compressed(content, **arrays)
  path = path_of(directory, split)
  tf.io.gfile.makedirs(os.path.dirname(path))
  write_atomically(path, content.getvalue())
  if any(len(places) for places, _ in source.marks.values()):
    lines = _marked(source)
    write_atomically(f"{path.removesuffix('.npz')}.marks.tsv", lines)
  return [
    (float(losses[i]), text) for i, text in zip(worst, texts, strict=True)
  ]


def _marked(source: Source) -> str:
  """Returns a table of the marked examples, the first of each mark."""
  lines = ["mark\tid\tlike\texample"]
  for name, (places, words) in source.marks.items():
    places = places[:_MOST]
    cells = source.ids(places), words, source.describe(places)
    for row in zip(*cells, strict=False):
      clean = (" ".join(str(cell).split()) for cell in row)
      lines.append("\t".join([name, *clean]))
  return "\n".join(lines) + "\n"


def _ids(ids: Sequence[Any]) -> np.ndarray:
  numbers = all(isinstance(x, int) for x in ids)
  return np.array(ids if numbers else [str(x) for x in ids])


def read(directory: str, split: str) -> dict[str, np.ndarray] | None:
  """Reads the examples of a split; None where there are none.

  Raises:
    Unreadable: where what is there cannot be used.
  """
  path = path_of(directory, split)
  try:
    arrays = read_arrays(path, _DIMENSIONS)
  except Missing:
    return None
  worst, number = arrays["worst"], len(arrays["losses"])
  fits = (
    arrays["step"].dtype.kind in "iu"
    and worst.dtype.kind in "iu"
    and arrays["losses"].dtype.kind == arrays["weights"].dtype.kind == "f"
    and arrays["sizes"].dtype.kind in "iuf"
    and arrays["texts"].dtype.kind == "U"
    and len(arrays["texts"]) == len(worst)
    and (worst >= 0).all()
    and (worst < number).all()
    and all(
      arrays[name].ndim and len(arrays[name]) == number
      for name in arrays
      if name in ("labels", "weights", "sizes", "outputs")
      or name.startswith(MARK)
    )
    and "labels" in arrays
  )
  if not fits:
    raise Damaged(path, "is damaged (its arrays do not fit together)")
  return arrays


_DIMENSIONS = dict.fromkeys(("losses", "weights", "sizes", "worst", "texts"), 1)
_DIMENSIONS["step"] = 0


def markdown(worst: list[tuple[float, str]], rows: int = 20) -> str:
  """Returns a table for TensorBoard's texts."""
  escaped = (
    (loss, text.replace("|", "\\|").replace("\n", " "))
    for loss, text in worst[:rows]
  )
  lines = [f"| {loss:.4f} | {text} |" for loss, text in escaped]
  return "\n".join(["| loss | example |", "| ---: | --- |", *lines])
