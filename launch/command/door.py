"""The way in that all doors share: flags, --help, mistakes, exit status."""

import contextlib
import dataclasses
import errno
import logging
import os
import re
import sys
import typing
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags
from absl import logging as absl_logging

from engine.errors import (
  Busy,
  PeerLost,
  Preempted,
  SaveFailed,
  UserError,
  one_line,
  printable,
  quoted,
  shortened,
  without_ops,
)
from launch.command import configs
from launch.command.flags import is_rare, meant_flag

by_name = False  # Whether it is apsis DOOR; the console says so.
_MOST = {int: 2**31, float: 1e18}  # Beyond what a flag can mean.
# What a disk says that is full, gone or not ours, and who else passes it on.
_DISK = tuple(
  os.strerror(x)
  for x in (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EFBIG,
  )
)
_FLOORS = ("engine", "tasks", "launch", "examples")
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
_WRITERS = ("tensorflow", "safetensors", "safetensors_rust")


def run_door(
  main: Callable[..., None],
  summary: str,
  *,
  takes_rest: bool = False,
  files: Sequence[str] = (),
  rare: Sequence[str] = (),
) -> None:
  """Runs a door: a user's mistake becomes one line and exit status 2.

  Args:
    main: the door; called once the flags are parsed.
    summary: its one sentence, for --help.
    takes_rest: whether `main` takes a list, what stands behind `--`.
    files: names of the files that `main` takes, given without a flag; a last
      one that ends in `...` may stand for several.
    rare: its own flags that --helpfull alone shows, as it does those of rare
      settings.
  """

  def parse(argv):
    check_arguments(argv[1:])
    try:
      rest = flags.FLAGS(argv)[1:]
    except SystemExit:  # absl has shown all flags, and calls that a failure.
      sys.stdout.flush()
      sys.exit()
    except UnicodeDecodeError:
      fail("A file of --flagfile is not UTF-8: save it as that.")
    except RecursionError:  # absl looks for what is near, and opens in turn.
      fail("A flag is too long, or files of --flagfile name each other.")
    except flags.UnrecognizedFlagError as error:
      near = meant_flag(error.flagname)
      hint = f"did you mean --{near}?" if near else "see --help."
      fail(f"There is no flag --{shortened(error.flagname)}: {hint}")
    except flags.Error as error:
      fail(str(error))
    for flag in door_flags():
      most = _MOST.get(type(flag.value))
      if most and not abs(flag.value) < most:
        fail(
          f"`{flag.name}` is {flag.value}, but must be a number below {most:g} "
          "on both sides of 0."
        )
    many = files and files[-1].endswith("...") and len(rest) > len(files)
    if files and len(rest) != len(files) and not many:
      fail(f"{len(rest)} file(s) given, but it takes {' '.join(files)}.")
    if rest and not files and not (takes_rest and "--" in argv):
      fail(f"{rest[0]!r} is no flag: flags are written --name=value.")
    return [argv[0], *rest]

  def guarded(argv):
    # The lines of a run are its own; libraries speak up from warnings on.
    # TensorFlow's one frequent warning, of traces, is counted by the engine.
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    handler = absl_logging.get_absl_handler()
    handler.addFilter(_printable)
    handler.setFormatter(_OwnLines())
    with _failures_told():
      main(*([argv[1:]] if takes_rest else argv[1:] if files else []))

  open_streams()
  if any(argument in ("--help", "-h", "-help") for argument in sys.argv[1:]):
    with _failures_told():
      summary = f"{' '.join(files)}: {summary}" if files else summary
      print(help_screen(summary, rare), flush=True)
    return
  app.run(guarded, flags_parser=parse)


def check_arguments(arguments: Sequence[str]) -> None:
  """Ends the door where words cannot be told, or a file of flags not read."""
  for i, argument in enumerate(arguments):
    try:
      argument.encode()
    except UnicodeEncodeError:
      fail(f"{quoted(argument)} is not UTF-8: rename what it names.")
    if match := re.fullmatch(r"--?flagfile(=(.*))?", argument, re.DOTALL):
      path = os.path.expanduser(match[2] or "".join(arguments[i + 1 : i + 2]))
      if os.path.exists(path) and not os.path.isfile(path):
        fail(f"`flagfile` {path} is no file: name a file of flags.")


@contextlib.contextmanager
def _failures_told() -> Iterator[None]:
  """Ends the process with a line and a status where its block fails."""
  try:
    yield
    sys.stdout.flush()  # A disk that is full says so here, or too late.
  except UserError as error:
    fail(str(error))
  except (PeerLost, Preempted, SaveFailed, Busy) as error:
    fail(str(error), status=os.EX_TEMPFAIL)
  except FloatingPointError as error:
    fail(str(error), status=1)
  except KeyboardInterrupt:
    fail("interrupted.", status=130)
  except BrokenPipeError:
    sys.stderr.close()
  except Exception as error:
    if not (fault := disk_fault(error)):
      raise
    fail(f"{fault}: make room there, or see to its permissions.")


def open_streams() -> None:
  """Opens standard streams that are closed, to nothing.

  The next file of the run would get their number, and all that libraries print.
  """
  for number, name in enumerate(("stdin", "stdout", "stderr")):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # Gets the lowest number that is free.
      mode = "w" if number else "r"
      setattr(sys, name, os.fdopen(number, mode, closefd=False))


class _OwnLines(absl_logging.PythonFormatter):
  """Leaves our lines as they are; those of libraries say whose they are."""

  def format(self, record: logging.LogRecord) -> str:
    floor = os.path.relpath(record.pathname, _ROOT).split(os.sep)[0]
    if floor in _FLOORS:
      return logging.Formatter("%(message)s").format(record)
    return super().format(record)


def _printable(record: logging.LogRecord) -> bool:
  """Lets what is logged show itself, and do nothing else to a terminal."""
  record.msg, record.args = printable(record.getMessage()), ()
  return True


def disk_fault(error: Exception) -> str:
  """What a disk has against a read or a write; "" for other errors.

  Libraries raise their own classes, some without a number: the words of the
  system are the same.
  """
  library = type(error).__module__.split(".")[0]
  if not isinstance(error, OSError) and library not in _WRITERS:
    return ""
  text = without_ops(str(error))
  return shortened(text, 200) if any(words in text for words in _DISK) else ""


def words_of(door: str) -> list[str]:
  """Returns the words that open a door, as a user has opened this one."""
  return ["apsis", door] if by_name else ["python", "-m", f"launch.{door}"]


def fail(message: str, status: int = 2) -> typing.NoReturn:
  """Prints one line and ends the process at once.

  Python's usual end would let TensorFlow wait for the peers of a worker, and
  the peers for it.
  """
  door = os.path.basename(sys.argv[0])
  if by_name:
    door = f"apsis {door.removesuffix('.py')}"
  line = one_line(f"{door}: {message}")
  with contextlib.suppress(OSError):
    print(line, file=sys.stderr)
  for stream in (sys.stderr, sys.stdout):
    with contextlib.suppress(OSError):
      stream.flush()
  os._exit(status)


def door_flags() -> list[flags.Flag]:
  """Returns the flags of this door, without those of libraries."""
  return [
    flag
    for module, found in flags.FLAGS.flags_by_module_dict().items()
    if module == sys.argv[0] or module.startswith("launch.")
    for flag in found
  ]


def help_screen(summary: str, rare: Sequence[str] = ()) -> str:
  """Returns the flags of this door, a line each, with their defaults."""
  lines = [summary, ""]
  for flag in door_flags():
    if flag.name in rare or is_rare(flag.name):
      continue
    text = re.split(r";\s\s", flag.help)[0]
    default = flag.default
    if isinstance(default, list):
      default = ",".join(default)
    if default not in (None, ""):
      text += f" [{default}]"
    lines.append(f"  --{flag.name:<20} {text}")
  lines.append(
    "  --helpfull             All flags: rarer ones, and libraries'."
  )
  named = [x for x in sys.argv if re.match("--?task=.*:", x)]
  if named:  # A task of one's own: its settings have no flags.
    task = configs.default_config(named[-1].split("=", 1)[1]).task
    lines += ["", "  Of the task, by --params_override=task.NAME=VALUE,...:"]
    for field in dataclasses.fields(task):
      text = f"{field.metadata.get('help', '')} [{getattr(task, field.name)}]"
      lines.append(f"    {field.name:<20} {text}")
  return "\n".join(lines)
