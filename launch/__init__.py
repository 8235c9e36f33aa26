"""The front doors."""

import contextlib
import glob
import importlib.machinery
import importlib.util
import os
import sys

# TensorFlow's C++ notes would bury the first lines of a run. Errors stay
# visible where there is a GPU; elsewhere the one error is that there is none.
os.environ.setdefault(
  "TF_CPP_MIN_LOG_LEVEL", "2" if glob.glob("/dev/nvidia*") else "3"
)


def _own_packages_first(root: str, here: str) -> None:
  """Lets `engine` and `tasks` be ours, whatever the current folder holds.

  `python -m` looks there first. It stays on the path, as the last place: a task
  of one's own may be there.

  Args:
    root: the folder that this package is in.
    here: the current folder.
  """
  places = [x for x in sys.path if os.path.realpath(x) != here]
  if here == root:
    # An editable installation leads to our packages alone.
    sys.path += [here] * (len(places) == len(sys.path))
  else:
    sys.path[:] = [*places, *[root][: root not in places], here]
    if importlib.machinery.PathFinder.find_spec("launch", [here]):
      # Or else the processes that a door starts would run that one.
      known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
      os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, *known]))
      os.environ["PYTHONSAFEPATH"] = "1"
  for name in ("engine", "tasks"):
    spec = importlib.util.find_spec(name)
    found = os.path.realpath(spec and spec.origin or "")
    if os.path.dirname(found) != os.path.join(root, name):
      print(
        f"{found} is found before {root}/{name}, which is Apsis's: rename it, "
        "or take its folder off PYTHONPATH.",
        file=sys.stderr,
      )
      sys.exit(2)


with contextlib.suppress(FileNotFoundError):  # A current folder that is gone.
  _own_packages_first(
    os.path.dirname(os.path.dirname(os.path.realpath(__file__))),
    os.path.realpath("."),
  )
