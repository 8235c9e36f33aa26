"""What says that the assets of a run are those that it wrote.

Predictions are made by what stands in `assets/`: the vocabulary, the names of
the classes. Changed there, they would give other answers and no error.
"""

import os

from engine.durability import own
from engine.durability.run_directory import RunDirectory
from engine.errors import Damaged, Missing, UserError
from engine.files import digests_in, write_json
from engine.formats import read_json

_LIST = "assets.json"  # Beside `assets`, which are an encoder's directory.


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
    UserError: naming the first file that is missing, added or altered.
  """
  path = directory.file(_LIST)
  try:
    said = read_json(path, {"files": {str: str}})["files"]
  except Missing:
    return False
  except Damaged as error:
    cure = "remove it to take the run's assets as they are"
    raise Damaged(path, error.why, cure) from error
  found = digests_in(directory.assets)
  for name in sorted({*said, *found}):
    if said.get(name) != found.get(name):
      what = "was changed" if name in found else "is gone"
      if name not in said:
        what = "was added"
      raise UserError(
        f"{os.path.join(directory.assets, name)} {what} since the run wrote "
        f"its assets: put back what was there, or remove {path} to take them "
        "as they are."
      )
  return True
