"""One job at a time in a run directory: `lock.json` says who.

The holder renews its record, so that it can be seen to live from hosts that
cannot ask for its process. Clocks of two hosts are never compared.
"""

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from engine.errors import Busy, CannotBeRead, Damaged, Missing, UserError
from engine.files import DISK_ERRORS, is_full, is_link
from engine.formats import read_bytes
from engine.process.lock_record import (
  is_orphan,
  lives,
  own_record,
  parse,
  who,
)

_PATIENCE = 3  # Intervals without a beat after which a holder has ended.
_SETTLE = 1.0  # Seconds that racers get to write where nothing excludes them.
_TRIES = 3
_LIMIT = 2**16  # Bytes of a record.


class Lock:
  """The right to write into a run directory.

  A holder that froze may wake after another has taken over. It asks
  `still_held` before it commits anything.
  """

  def __init__(
    self,
    directory: str,
    *,
    interval: float = 5.0,
    parent: int = 0,
    frees: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
  ):
    """Initializes the lock; `acquire` takes it.

    Args:
      directory: of the run; made if it is missing.
      interval: seconds between two heartbeats.
      parent: the process that this one ends with, if it does with any.
      frees: whether the holder is short and deletes: a disk that has no room
        for a record does not keep it out.
      sleep: waits for the heartbeat of others.
      clock: seconds since the epoch, for people to read.
    """
    self._directory = directory
    self._path = os.path.join(directory, "lock.json")
    self._local = "://" not in directory
    self._interval = interval
    self._parent = parent
    self._frees = frees
    self._fence: int | None = None  # A handle that keeps all takers out.
    self._sleep = sleep
    self._clock = clock
    self._record: dict[str, Any] = {}
    self._held = False
    self._mutex = threading.RLock()  # The heartbeat and its owner.
    self._ended = threading.Event()

  def acquire(self) -> str:
    """Takes the lock and keeps it by a heartbeat.

    Returns:
      A sentence about a holder that had ended and was replaced, or "".

    Raises:
      UserError: where another job holds it, or nothing can be written.
      Busy: where that job is about to end.
    """
    self._record = own_record(self._interval, self._clock(), self._parent)
    try:
      if tf.io.gfile.isdir(self._path):
        raise UserError(
          f"{self._path} is a directory, and the lock of the run is to be "
          "written there: remove it or move it away."
        )
      if is_link(self._path) and not os.path.isfile(self._path):
        raise UserError(
          f"{self._path} is a link to no file, and the lock is to be "
          "written there: remove it."
        )
      tf.io.gfile.makedirs(self._directory)
      sentence = self._take()
    except DISK_ERRORS as error:
      if self._frees and self._local and is_full(error):
        return self._take_fence()
      raise UserError(
        f"`model_dir` {self._directory} cannot be written "
        f"({error.__class__.__name__}): free space there, change its "
        "permissions or choose another --model_dir."
      ) from error
    self._held = True
    self._ended = threading.Event()
    threading.Thread(
      target=self._beat_on, args=[self._ended], name="lock", daemon=True
    ).start()
    return sentence

  def still_held(self) -> bool:
    """Whether the lock is ours; once it was lost it stays lost.

    Raises:
      tf.errors.OpError: where the file system does not answer.
    """
    with self._mutex:
      if self._fence is None:
        self._held = self._held and self._is_ours()
      return self._held

  def check(self) -> None:
    """Raises `UserError` where another job has the lock by now."""
    if not self.still_held():
      raise UserError(
        f"`model_dir` {self._directory} was taken over by another job while "
        "this one stood still: end one of them."
      )

  def beat(self) -> None:
    """Renews the record, if it is still ours."""
    # A full disk, or a store that does not answer, may recover.
    with self._mutex, contextlib.suppress(*DISK_ERRORS):
      if self.still_held():
        self._record["beats"] += 1
        self._write(new=False)

  def release(self) -> None:
    """Gives the lock back; a record that is not ours stays."""
    self._ended.set()
    with self._mutex:
      with contextlib.suppress(*DISK_ERRORS):
        if self._fence is not None:
          os.close(self._fence)
        elif self.still_held():
          tf.io.gfile.remove(self._path)
      self._held, self._fence = False, None

  def __enter__(self) -> "Lock":
    if not self._held:
      self.acquire()
    return self

  def __exit__(self, *exception) -> None:
    self.release()

  def _beat_on(self, ended: threading.Event) -> None:
    while not ended.wait(self._interval) and self._held:
      self.beat()

  def _take(self) -> str:
    for _ in range(_TRIES):
      seen = self._read()
      sentence = "" if seen is None else self._judge(seen)
      if self._claim(seen):
        return sentence
    raise UserError(
      f"`model_dir` {self._directory} is being taken by other jobs: wait for "
      "them, or choose another --model_dir."
    )

  def _take_fence(self) -> str:
    """Takes the lock without a record, by keeping out who would write one."""
    handle = os.open(self._directory, os.O_RDONLY)
    try:
      if not _flock(handle):
        raise UserError(
          f"`model_dir` {self._directory} is full, and its disk locks no "
          "directory: free some bytes there first."
        )
      seen = self._read()
      sentence = "" if seen is None else self._judge(seen)
    except BaseException:
      os.close(handle)
      raise
    self._held, self._fence = True, handle
    return sentence

  def _judge(self, seen: bytes) -> str:
    """Refuses a holder that lives; says of another how that was seen."""
    holder = parse(seen)
    alive, why = lives(holder), "whose process has ended"
    if alive is None:
      interval, theirs = self._interval, holder.get("interval")
      if isinstance(theirs, int | float) and 0 < theirs <= 60:
        interval = max(interval, theirs)
      now = self._watch(seen, interval)
      if now is None:
        return ""  # It was released.
      alive, holder = now != seen, parse(now)
      why = f"whose heartbeat stood still for {_PATIENCE * interval:g} s"
    if alive and is_orphan(holder):
      raise Busy(
        f"`model_dir` {self._directory} is in use by {who(holder)}, which ends "
        "since what started it has (SIGCONT lets it, if it is stopped): the "
        "same command goes on behind it."
      )
    if alive:
      raise UserError(
        f"`model_dir` {self._directory} is in use by {who(holder)}: end that "
        "job, or choose another --model_dir."
      )
    return f"took over the lock of {who(holder)}, {why}"

  def _watch(self, seen: bytes, interval: float) -> bytes | None:
    """Waits for a heartbeat; returns the last record."""
    for _ in range(_PATIENCE):
      self._sleep(interval)
      now = self._read()
      if now != seen:
        return now
    return seen

  def _claim(self, seen: bytes | None) -> bool:
    """Puts our record in the place of `seen`; false: others were faster."""
    with self._alone() as alone:
      if self._read() != seen or not self._write(new=seen is None):
        return False
    if not alone:
      self._sleep(_SETTLE)
    return self._is_ours()

  @contextlib.contextmanager
  def _alone(self) -> Iterator[bool]:
    """Keeps other takers out, where the file system can."""
    if not self._local:
      yield False
      return
    handle = os.open(self._directory, os.O_RDONLY)
    try:
      yield _flock(handle)
    finally:
      os.close(handle)

  def _write(self, *, new: bool) -> bool:
    """Writes our record whole; `new`: false if there is one by now."""
    # One name for all beats: on a full disk they leave one file, not many.
    part = f"{self._path}.{self._record['token']}.part"
    try:
      with tf.io.gfile.GFile(part, "w") as file:
        file.write(json.dumps(self._record))
      if not new or not self._local:
        tf.io.gfile.rename(part, self._path, overwrite=True)
        return True
      try:
        os.link(part, self._path)
      except FileExistsError:
        return False
      except OSError:  # No hard links here.
        tf.io.gfile.rename(part, self._path, overwrite=True)
      return True
    finally:
      with contextlib.suppress(*DISK_ERRORS):
        if tf.io.gfile.exists(part):
          tf.io.gfile.remove(part)

  def _read(self) -> bytes | None:
    try:
      return read_bytes(self._path, _LIMIT)
    except Missing:
      return None
    except Damaged:
      return b"no record"  # Of nobody: it is replaced when nothing beats.
    except CannotBeRead as error:
      # The disk's own word: a heartbeat waits for it to get well.
      raise (error.__cause__ or error) from None

  def _is_ours(self) -> bool:
    token = parse(self._read() or b"").get("token")
    return token is not None and token == self._record.get("token")


def _flock(handle: int) -> bool:
  try:
    fcntl.flock(handle, fcntl.LOCK_EX)
  except OSError:  # NFS locks no directories.
    return False
  return True
