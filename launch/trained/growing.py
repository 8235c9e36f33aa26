"""An output that grows, and goes on where a killed process has left it.

It is written to `OUTPUT.part`; `OUTPUT.part.json` says how much of that is
whole, and of what. Whoever finds the output finds all of it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO

from engine.errors import Damaged, Missing, UserError
from engine.files import is_file, json_digest, write_json
from engine.formats import read_json

_STATE = {
  "of": dict,
  "rows": int,
  "bytes": int,
  "columns": [str],
  "left_out": [str],
  "read": str,
  "written": str,
}
_SEAL = "sha256"  # Of the state, in it.
_EVERY = 10.0  # Seconds between two reports.
_CHUNK = 2**20  # Bytes.


class Growing:
  """The file of predictions of one input by one model.

  Attributes:
    rows: of the input, for which there are predictions.
    columns: of the table, once they are known.
    left_out: columns of later rows that the table has not.
    read: digest of those rows, as `add` was given it.
  """

  def __init__(self, path: str, of: Mapping[str, Any]):
    """Initializes it; nothing is looked for before the block begins.

    Args:
      path: of the output.
      of: what computes its content, as JSON can hold it.
    """
    self._path, self._part = path, f"{path}.part"
    self._state, self._of = f"{path}.part.json", json.loads(json.dumps(of))
    self.rows, self.read = 0, ""
    self.columns: list[str] = []
    self.left_out: list[str] = []
    self._bytes, self._written = 0, hashlib.sha256()

  def __enter__(self) -> "Growing":
    """Keeps other processes out, and goes on from what one has left.

    Raises:
      UserError: where one is in, where the output is there, or a part that is
        of another one, or not what was written.
    """
    self._check_free()
    is_new = not os.path.lexists(self._part)
    if not (is_new or is_file(self._part)):
      raise self.not_ours()
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    self._file = open(os.open(self._part, flags, 0o666), "a+b")
    try:
      self._lock()
      self._check_free()  # Again: whoever was in may have ended.
      try:
        self._find()
      except UserError:
        if is_new:
          os.remove(self._part)
        raise
      self._keep()
      self._file.truncate(self._bytes)
    except BaseException:
      self._file.close()
      raise
    return self

  def _check_free(self) -> None:
    if os.path.lexists(self._path):
      raise UserError(
        f"`output` {self._path} exists: remove it, or name another."
      )

  def _find(self) -> None:
    size = os.fstat(self._file.fileno()).st_size
    try:
      state = read_json(self._state, _STATE)
    except Missing:
      if size:
        raise self.not_ours() from None
      return
    except Damaged as error:
      raise self._damaged(error.why) from error
    if state.pop(_SEAL, "") != json_digest(state):
      raise self._damaged("is not as it was written")
    if state["of"] != self._of:
      raise self.not_ours()
    self._bytes = state["bytes"]
    self._file.seek(0)
    for at in range(0, self._bytes, _CHUNK):
      self._written.update(self._file.read(min(_CHUNK, self._bytes - at)))
    if size < self._bytes or self._written.hexdigest() != state["written"]:
      raise self._damaged("says something else of it")
    self.rows, self.columns = state["rows"], state["columns"]
    self.left_out, self.read = state["left_out"], state["read"]

  def not_ours(self) -> UserError:
    """The error of a part that is of other models, or of another input."""
    return UserError(
      f"`output` {self._part} was not begun by this run with this input: "
      "remove it and its .json, or name another --output."
    )

  def _damaged(self, why: str) -> UserError:
    return UserError(
      f"`output` {self._part} cannot be gone on with, as its .json {why}: "
      "remove both, or name another --output."
    )

  def _lock(self) -> None:
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      is_ours = self._is_there()
    except BlockingIOError:
      is_ours = False
    except OSError:
      is_ours = True  # A file system without locks.
    if not is_ours:
      raise UserError(
        f"`output` {self._path} is being written by another process: wait for "
        "it, or name another."
      )

  def _is_there(self) -> bool:
    """Whether what is written is what has the name of the part."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
      own = os.fstat(self._file.fileno())
      return os.path.samestat(own, os.lstat(self._part))
    return False

  def __exit__(self, *failure: Any) -> None:
    # Refused at once: nothing is in the way of another try.
    if not self.rows and self._is_there() and is_file(self._state):
      os.remove(self._part)
      os.remove(self._state)
    self._file.close()

  def add(
    self,
    lines: Iterable[str],
    rows: int,
    columns: Iterable[str],
    left_out: Iterable[str] = (),
    read: str = "",
  ) -> None:
    """Adds the lines of some rows; after that they are never lost.

    Args:
      lines: without their ends.
      rows: how many are done with them.
      columns: of the table.
      left_out: columns of rows that the table has not.
      read: digest of all rows to here; who goes on holds them against it.

    Raises:
      UserError: where the part has been taken away.
    """
    data = "".join(f"{line}\n" for line in lines).encode()
    with naming(self._part):
      self._file.write(data)
      self._file.flush()
      os.fsync(self._file.fileno())
    if not self._is_there() or not is_file(self._state):
      raise UserError(
        f"{self._part} or its .json has been removed while it was written: run "
        "the same command again."
      )
    self._bytes += len(data)
    self._written.update(data)
    self.rows += rows
    self.columns, self.left_out = list(columns), list(left_out)
    self.read = read
    self._keep()

  def finish(self) -> None:
    """Gives the output its name, at the end of the block.

    Raises:
      UserError: where something else has got it meanwhile.
    """
    if os.path.lexists(self._path):
      raise UserError(
        f"{self._path} has come to be meanwhile: move it away, and run the "
        f"same command again, which takes what is in {self._part}."
      )
    os.replace(self._part, self._path)
    os.remove(self._state)

  def _keep(self) -> None:
    state = {
      "of": self._of,
      "rows": self.rows,
      "bytes": self._bytes,
      "columns": self.columns,
      "left_out": self.left_out,
      "read": self.read,
      "written": self._written.hexdigest(),
    }
    write_json(self._state, {**state, _SEAL: json_digest(state)})


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
  """Names the file, where the system says what is wrong and not with which."""
  try:
    yield
  except OSError as error:
    if error.filename or not error.errno:
      raise
    raise OSError(error.errno, error.strerror, path) from error


class Progress:
  """Reports on a stream how far a long prediction is."""

  def __init__(self, size: int, stream: TextIO | None = None, clock=time.time):
    """Initializes it.

    Args:
      size: bytes of the input; 0: nobody knows.
      stream: instead of the standard error.
      clock: seconds of now.
    """
    self._size, self._stream = size, stream or sys.stderr
    self._clock, self._begun = clock, clock()
    self._told = self._begun
    self._first = 0  # Bytes that were passed over.
    self._reported = False

  def begin(self, done: int) -> None:
    """Begins behind some bytes of the input."""
    self._first, self._begun = done, self._clock()

  def tell(self, rows: int, done: int) -> None:
    """Says how many rows are done, how fast, and what is left.

    Args:
      rows: of this process.
      done: bytes of the input.
    """
    now = self._clock()
    if now - self._told < _EVERY:
      return
    self._told = now
    rate = rows / (now - self._begun)
    words = [f"{rows:,} rows", f"{rate:.0f} rows/s"]
    if self._first < done <= self._size:
      share = (self._size - done) / (done - self._first)
      left = (now - self._begun) * share
      words += [f"{done / self._size:.0%}", f"{_clocked(left)} left"]
    self._reported = True
    print("  ".join(words), file=self._stream, flush=True)

  def end(self, rows: int, path: str) -> None:
    """Says where the predictions are, to whom has been reported."""
    if self._reported:
      print(f"{rows:,} rows  {path}", file=self._stream, flush=True)


def _clocked(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  return f"{minutes}:{seconds:02}"
