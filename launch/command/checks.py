"""What several doors check of their paths, before the slow imports."""

import contextlib
import os
import re
import time
from collections.abc import Sequence

from engine.errors import UserError, quoted
from engine.settings import check_no_pattern


def check_directory(path: str, flag: str = "", what: str = "a run") -> None:
  """Refuses a path that has something else where a directory must be.

  A link to a directory is one; in a store that is not looked at.

  Args:
    path: of a directory, which need not be there.
    flag: that names it, if one does.
    what: it is to be.

  Raises:
    UserError: naming what is there, or above it.
  """
  if "://" in path:
    return
  place = os.path.abspath(path)
  while not os.path.lexists(place):
    place = os.path.dirname(place)
  if not os.path.isdir(place):
    kind = "a link to no directory" if os.path.islink(place) else "no directory"
    raise UserError(
      f"{f'`{flag}` ' if flag else ''}{path} cannot be {what}: {place} is "
      f"{kind}: name another one."
    )


def check_run(path: str, flag: str = "") -> None:
  """Refuses a directory that is no run's.

  Args:
    path: of the directory.
    flag: that names it, if one does.

  Raises:
    UserError: where neither settings nor checkpoints are in it, or TensorFlow
      would not find them.
  """
  check_directory(path, flag)
  check_no_pattern(flag or "model_dir", path)
  exists, is_directory = os.path.exists, os.path.isdir
  if "://" in path:
    # Imported here: it takes seconds, and nobody else can look there.
    import tensorflow as tf

    exists, is_directory = tf.io.gfile.exists, tf.io.gfile.isdir
  if exists(os.path.join(path, "config.yaml")):
    return
  if not is_directory(os.path.join(path, "checkpoints")):
    raise UserError(
      f"{f'`{flag}` ' if flag else ''}{path} holds no run: name the directory "
      "that launch.train was given."
    )


def check_runs(text: str) -> None:
  """Refuses what is no directory of runs, or several with commas between.

  Raises:
    UserError: naming the first that is none.
  """
  for path in text.split(","):
    if "://" not in path and not os.path.isdir(path):
      raise UserError(
        f"{path} holds no run and no seed_N: name a directory that "
        "launch.train was given."
      )


def check_model_dir(path: str) -> None:
  """Refuses a directory that is no run's, and holds what is somebody else's.

  Names that begin with a dot, logs, and what a job makes before its config are
  nobody's. In a store that is not looked at, as it takes long.

  Args:
    path: of the directory that a run is to have.

  Raises:
    UserError: naming something that it holds.
  """
  if "://" in path or not os.path.isdir(path) or is_run(path):
    return
  names = sorted(os.listdir(path))
  locked = "lock.json" in names
  others = [
    name
    for name in names
    if not _NOBODYS.fullmatch(name)
    and not (name in _FOLDERS and (locked or _is_empty(f"{path}/{name}")))
  ]
  if others:
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    raise UserError(
      f"`model_dir` {path} is no run, and holds {quoted(others[0])}{more}: "
      "name a directory for the run alone, or add --allow_other_files."
    )


# What a reader takes for no text by its name.
_NO_TEXT = re.compile(
  r".*\.(arrow|avro|bz2|feather|gz|npz?|ods|parquet|tfrecord|xlsx?|xz|zip|zst)"
)
# What a killed start of ours, or a launcher that keeps logs, may leave.
_NOBODYS = re.compile(
  r"\..*|.*\.(log|out|err)|lost\+found|lock\.json(\..*\.part)?|stop|job_token"
  r"|seeds\.json|seed_\d+|continuous_eval|fraction_[\d.e-]+"
  r"|curve\.(json|html)"
)
_FOLDERS = ("assets", "checkpoints", "best", "examples", "tensorboard")


def _is_empty(path: str) -> bool:
  """Whether a directory holds nothing: a start has failed that made it."""
  return (
    not os.path.islink(path) and os.path.isdir(path) and not os.listdir(path)
  )


def is_run(path: str) -> bool:
  """Whether a directory has a checkpoint of ours, or the settings of a run."""
  with contextlib.suppress(OSError):
    for name in os.listdir(os.path.join(path, "checkpoints")):
      if re.fullmatch(r"ckpt-\d+\.manifest\.json", name):
        return True
  try:
    with open(os.path.join(path, "config.yaml"), "rb") as file:
      text = b"\n" + file.read(2**20)
  except OSError:
    return False
  return b"\ntask:" in text and b"\ntrain:" in text


def check_calibrate(split: str, evaluated: Sequence[str], mode: str) -> None:
  """Refuses a split on which nothing will have been evaluated.

  Raises:
    UserError: saying what is.
  """
  if mode != "train_and_eval":
    raise UserError(
      f"`calibrate` is given, but --mode={mode} keeps no evaluation: leave one "
      "of them out."
    )
  if split not in evaluated:
    raise UserError(
      f"`calibrate` is {quoted(split)}, which is not evaluated: add it to "
      f"--eval_split={','.join(evaluated)}."
    )


def check_output(
  flag: str,
  path: str,
  *,
  directory: bool = False,
  named: bool = True,
  begins: str = "",
) -> None:
  """Refuses a path at which nothing can be written, or something else is.

  Args:
    flag: that names it.
    path: of the file, or of the directory, that is to be made.
    directory: whether a directory may be there.
    named: whether the user named it: what is a pipe or a device stays one.
    begins: with what the file will; one that begins otherwise is no older one.

  Raises:
    UserError: where it cannot be made, or is not for us to replace.
  """
  if not path:
    raise UserError(f"`{flag}` is empty: name a file, or leave it out.")
  if "://" in path:
    raise UserError(
      f"`{flag}` {path} is in a store: name a path on a disk, and copy it."
    )
  if not os.path.basename(path) and not os.path.isdir(path):
    raise UserError(
      f"`{flag}` {path} names no file, and no directory is there: make it, or "
      "name a file."
    )
  if os.path.isdir(path) and not directory:
    raise UserError(f"`{flag}` {path} is a directory: name a file in it.")
  if os.path.islink(path) and not os.path.exists(path):
    raise UserError(
      f"`{flag}` {path} is a link to nothing: remove it, or name another file."
    )
  if os.path.exists(path) and not (os.path.isfile(path) or directory):
    if not named or not os.access(path, os.W_OK):
      raise UserError(f"`{flag}` {path} cannot be written: name another file.")
    return
  if not os.path.isdir(path):
    _check_can_be_made(flag, path)
  if begins and os.path.isfile(path):
    start = None  # Of one that cannot be read.
    with contextlib.suppress(OSError), open(path, "rb") as file:
      start = file.read(len(begins.encode()))
    if start not in (b"", begins.encode()):
      raise UserError(
        f"`{flag}` {path} is another file, which would be lost: name a new one."
      )


def _check_can_be_made(flag: str, path: str) -> None:
  """Refuses a file beside which none can be made, as all are made whole.

  That is tried: a file system may promise what it does not do (/proc).
  """
  folder, name = os.path.split(os.path.abspath(path))
  part = os.path.join(
    folder, f".{name}.{os.getpid()}.{time.monotonic_ns()}.part"
  )
  try:
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(part)
  except (OSError, ValueError) as error:
    why = getattr(error, "strerror", None) or str(error)
    raise UserError(
      f"`{flag}` {path} cannot be written ({why}): name a file in a directory "
      "that is there and yours to write."
    ) from error


def check_text_name(flag: str, path: str) -> None:
  """Refuses the name of what is no text, for a file that will be text.

  Raises:
    UserError: where a reader would take it for something else.
  """
  found = _NO_TEXT.fullmatch(path.lower())
  if found and not os.path.isdir(path):
    raise UserError(
      f"`{flag}` {path} would be text, and no .{found[1]}: name it .csv, .tsv "
      "or .jsonl, and turn that into the other."
    )


def make_directory(flag: str, path: str) -> None:
  """Makes a directory that is to be written to, where there is none.

  Raises:
    UserError: where it cannot be made or written.
  """
  try:
    os.makedirs(path, exist_ok=True)
  except OSError as error:
    raise UserError(
      f"`{flag}` {path} cannot be made ({error.strerror}): name a directory "
      "that is yours to write."
    ) from error
  if not os.access(path, os.W_OK):
    raise UserError(
      f"`{flag}` {path} cannot be written: choose another --{flag}."
    )
