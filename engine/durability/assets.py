"""What says that the assets of a run are those that it wrote.

Predictions are made by what stands in `assets/`: the vocabulary, the names of
the classes. Changed there, they would give other answers and no error.
"""

import os
import tempfile
from collections.abc import Callable

import tensorflow as tf

from engine.durability import own
from engine.durability.run_directory import RunDirectory
from engine.errors import Damaged, Missing, quoted
from engine.files import digests_in, is_free, is_link, write_json
from engine.formats import read_json

_LIST = "assets.json"  # Beside `assets`, which are an encoder's directory.
_SHAPE = {"files": {str: str}}
_CURE = "remove it to take the run's assets as they are"


def unseal(directory: RunDirectory) -> None:
  """Forgets the list: assets are about to be written."""
  own.remove(directory.file(_LIST))


def seal(directory: RunDirectory) -> None:
  """Writes the list of the assets as they are, whole or not at all."""
  write_json(directory.file(_LIST), {"files": digests_in(directory.assets)})


def check(directory: RunDirectory) -> bool:
  """Holds the assets against their list.

  Returns:
    Whether there is one: an older version wrote none, and a run that is just
    beginning has none yet.

  Raises:
    Unreadable: naming the first file that is missing, added or altered.
  """
  path = directory.file(_LIST)
  try:
    said = read_json(path, _SHAPE)["files"]
  except Missing:
    return False
  except Damaged as error:
    raise Damaged(path, error.why, _CURE) from error
  for name in said:
    if os.path.isabs(name) or os.path.normpath(f"/{name}") != f"/{name}":
      why = f"names {quoted(name)}, which is no place within the assets"
      raise Damaged(path, why, _CURE)
  found = digests_in(directory.assets)
  for name in sorted({*said, *found}):
    if said.get(name) != found.get(name):
      place = os.path.join(directory.assets, name)
      what = "was changed" if name in found else "is gone"
      if name not in said:
        what = "was added"
      elif name not in found and (is_link(place) or tf.io.gfile.exists(place)):
        what = "has become a link, or no file,"
      raise Damaged(
        place,
        f"{what} since the run wrote its assets",
        "put back what was there, train on, which makes them anew where it "
        f"can, or remove {path} to take them as they are",
      )
  return True


def can_be_mended(directory: RunDirectory, save: Callable[[str], None]) -> bool:
  """Whether assets that are not as they were can be made as they were.

  Args:
    directory: of the run, whose assets or list `check` refuses.
    save: writes what would be written now to a directory.
  """
  found = digests_in(directory.assets)
  try:
    said = read_json(directory.file(_LIST), _SHAPE)["files"]
  except Damaged:
    said = found
  except Missing:
    return False
  with tempfile.TemporaryDirectory() as place:
    save(place)
    made = digests_in(place)
  free = all(is_free(os.path.join(directory.assets, x)) for x in made)
  # Where the files are what would be written, the list is what is wrong.
  return made in (said, found) and {*found} <= {*made} and free
