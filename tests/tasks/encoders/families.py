"""The families of Hugging Face's layout, for the battery.

What Transformers computes of them is stored: see `tests/support/families.py`.
"""

import json
import os

import numpy as np

from tests.support import families
from tests.tasks.encoders.entry import Entry, Original


def _original(name):
  def original(path, dense):
    known = families.stored(name)
    width = dense["input_word_ids"].shape[1]
    # Its tokenizer, cut and laid out as a pair: the same ids.
    np.testing.assert_array_equal(
      dense["input_word_ids"], known["ids"][:, :width]
    )
    shapes = json.loads(str(known["shapes"]))
    names = [x for x in shapes if not x.startswith(_readout(shapes))]
    return Original(
      [families.value_of(x, tuple(shapes[x])) for x in names],
      [known.get(f"gradient/{x}") for x in names],
      known["pooled"],
      known["sequence"][:, :width],
    )

  return original


def _readout(shapes):
  outs = ("classifier.out_proj.", "classifier.")
  return next(x for x in outs if f"{x}weight" in shapes)


def entry_of(name: str) -> Entry:
  """The entry of a family."""
  shapes = json.loads(str(families.stored(name)["shapes"]))
  readout = _readout(shapes)
  return Entry(
    name,
    lambda path: families.write(name, os.path.join(path, name)),
    _original(name),
    (f"{readout}weight", f"{readout}bias"),
  )


ENTRIES = tuple(map(entry_of, families.FAMILIES))
