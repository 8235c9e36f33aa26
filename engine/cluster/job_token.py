"""The secret of a job, which lets its workers in and nobody else.

A launcher that can hand a secret over puts it into the environment. Else the
chief writes one for each meeting into a file that only its user can read: into
the run's directory, which all workers share, or, where the workers are on one
machine by the very name of the chief, into a directory of that user's own.
"""

import contextlib
import dataclasses
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator, Mapping

from engine.cluster.address import is_loopback, split
from engine.cluster.discovery import Cluster
from engine.errors import UserError

VARIABLE = "APSIS_JOB_TOKEN"
_FILE = "job_token"
_LEAST = 16  # Characters.
_CURE = (
  f"set {VARIABLE} to one secret on all workers (`openssl rand -hex 32` makes "
  "one)"
)


@dataclasses.dataclass(frozen=True)
class JobToken:
  """Where the token of a job is: in the environment or in a file.

  Attributes:
    value: from the environment; "" for none.
    path: of the file, where there is no value.
  """

  value: str = dataclasses.field(repr=False)
  path: str

  def read(self) -> bytes:
    """Returns the token, as a worker has it.

    Raises:
      OSError: where there is none (yet), or others can read it.
    """
    return (self.value or _read(self.path)).encode()

  @contextlib.contextmanager
  def made(self) -> Iterator[bytes]:
    """Gives the token as the chief has it; a file is there until the end.

    Raises:
      UserError: where the file cannot be written so that it stays secret.
    """
    if self.value:
      yield self.value.encode()
      return
    try:
      _write(self.path, token := secrets.token_hex())
      _read(self.path)  # Some file systems let everybody read everything.
    except OSError as error:
      raise UserError(
        f"The job's token cannot be kept in {self.path} "
        f"({error.strerror or error}): {_CURE}."
      ) from error
    try:
      yield token.encode()
    finally:
      with contextlib.suppress(OSError):
        if _read(self.path) == token:  # Not another job's.
          os.unlink(self.path)


def with_token(environ: Mapping[str, str]) -> dict[str, str]:
  """The environment for all workers of a job: with a token, its own or new."""
  return {VARIABLE: secrets.token_hex(), **environ}


def find_token(
  cluster: Cluster, environ: Mapping[str, str], directory: str
) -> JobToken:
  """Finds where the token of a job is.

  Args:
    cluster: as this worker sees it.
    environ: variables of the process.
    directory: of the run, which all workers share; "" for none.

  Raises:
    UserError: where nothing could hold one, or it is no secret.
  """
  if VARIABLE in environ:
    value = environ[VARIABLE].strip()
    if len(value) < _LEAST:
      raise UserError(
        f"{VARIABLE} has {len(value)} characters, but a secret has "
        f"{_LEAST} or more: {_CURE}."
      )
    return JobToken(value, "")
  host, port = split(cluster.addresses[0])
  if is_loopback(host):
    own = os.path.join(tempfile.gettempdir(), f"apsis-{os.geteuid()}")
    return JobToken("", os.path.join(_private(own), f"{_FILE}-{port}"))
  if not directory or "://" in directory:
    raise UserError(
      f"The workers of {cluster.found_in} meet over a network, and "
      f"{directory or 'no directory'} cannot keep a secret of theirs: {_CURE}."
    )
  return JobToken("", os.path.join(directory, _FILE))


def _private(path: str) -> str:
  """Makes a directory that is this user's alone, or sees that it is."""
  with contextlib.suppress(OSError):
    os.mkdir(path, 0o700)
  try:
    found = os.lstat(path)
    fits = stat.S_ISDIR(found.st_mode) and _is_ours(found)
  except OSError:
    fits = False
  if not fits:
    raise UserError(
      f"{path} is not a directory that you alone can open: remove it, or "
      f"{_CURE}."
    )
  return path


def _is_ours(found: os.stat_result) -> bool:
  return found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _write(path: str, token: str) -> None:
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with contextlib.suppress(FileNotFoundError):
    if not _may_be_ours(os.lstat(path), path):
      raise OSError("something else has that name: move it away")
    os.unlink(path)  # Of a job that was killed.
  flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
  with os.fdopen(os.open(path, flags, 0o600), "w") as file:
    file.write(f"{token}\n")


def _may_be_ours(found: os.stat_result, path: str) -> bool:
  """Whether a file holds a token, or as much of one as was written."""
  if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
    return False
  with open(path, "rb") as file:
    return bool(re.fullmatch(rb"[0-9a-f]{0,64}\n?", file.read(66)))


def _read(path: str) -> str:
  flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
  try:
    file = os.fdopen(os.open(path, flags), "rb")
  except FileNotFoundError:
    raise OSError(f"it has left no token in {path} yet") from None
  with file:
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or not _is_ours(found):
      raise OSError(f"{path} is not a file that this user alone can read")
    text = file.read(66)
  if not re.fullmatch(rb"[0-9a-f]{64}\n", text):
    raise OSError(f"{path} holds no token")
  return text.decode().strip()
