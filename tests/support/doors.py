"""Starts doors as processes, with TensorFlow imported once for all of them."""

import dataclasses
import multiprocessing
import os
import re
import runpy
import sys
import traceback

from tests.support.testing import ROOT

# XLA tries to read each program of its cache as text first, and says so.
_OF_THE_CACHE = re.compile(
  r".*Error parsing text-format .*XlaSerializedCacheEntry.*\n"
)

HANGS = 400.0  # Seconds; no door of a test needs a quarter of it.

# A run that a test can wait for.
TINY = ("--task=demo", "--encoder=tiny", "--train_steps=4")

_context = multiprocessing.get_context("forkserver")
# What does not come with the first: it is imported late, by some doors.
_context.set_forkserver_preload(
  [
    "tests.support.doors",
    "engine.run.experiment",
    "launch.command.configs",
    "launch.pages.page",
    "official.modeling.optimization",
    "orbit",
    "sklearn.metrics",
    "tokenizers",
    "safetensors.numpy",
    "tensorboard.plugins.hparams.api",
  ]
)


@dataclasses.dataclass
class Ended:
  """What a door left behind."""

  status: int
  out: str
  err: str


class Door:
  """A door that runs, with its output in files and on a pipe."""

  def __init__(self, directory, module, *arguments, stdin="", environ=()):
    self._files = [str(directory / f"door.{x}") for x in ("in", "out", "err")]
    with open(self._files[0], "wb") as file:
      file.write(stdin.encode() if isinstance(stdin, str) else stdin)
    self.process = _context.Process(
      target=_enter, args=(module, arguments, self._files, dict(environ))
    )
    self.process.start()

  def end(self) -> Ended:
    """Waits for the door; one that hangs is killed, which no test expects."""
    self.process.join(HANGS)
    if self.process.is_alive():
      self.process.kill()
      self.process.join()
    texts = []
    for path in self._files[1:]:
      with open(path, errors="replace") as file:
        texts.append(_OF_THE_CACHE.sub("", file.read()))
    return Ended(self.process.exitcode, *texts)


def enter(directory, module, *arguments, stdin="") -> Ended:
  """Runs a door to its end."""
  return Door(directory, module, *arguments, stdin=stdin).end()


def _enter(module, arguments, files, environ):
  """Becomes `python -m module arguments`."""
  os.chdir(ROOT)
  os.environ.update(environ)
  for target, path in enumerate(files):
    flags = (
      os.O_RDONLY if target == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    )
    os.dup2(os.open(path, flags, 0o644), target)
  sys.stdin = os.fdopen(0, closefd=False)
  sys.argv = [module, *arguments]
  try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
  except SystemExit:
    raise
  except BaseException:
    traceback.print_exc()
    sys.exit(1)
