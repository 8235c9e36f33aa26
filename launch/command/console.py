"""All doors behind one name: apsis DOOR, the same as python -m launch.DOOR."""

import difflib
import pathlib
import runpy
import sys


def doors() -> dict[str, str]:
  """Returns name -> sentence of each door."""
  files = sorted(pathlib.Path(__file__).parents[1].glob("[a-z]*.py"))
  return {
    file.stem: file.read_text("utf-8").split('"""')[1].partition(": ")[0]
    for file in files
  }


def main() -> None:
  """Opens the door that the first word names; the rest are its flags."""
  name, *rest = sys.argv[1:] or ["--help"]
  known = doors()
  if name in known:
    from launch.command import door

    door.by_name = True
    sys.argv[1:] = rest
    runpy.run_module(f"launch.{name}", run_name="__main__", alter_sys=True)
  elif name in ("--version", "version"):
    from engine.measure.environment import version

    print(f"apsis {version('apsis')}")
  elif name in ("--help", "-h", "-help", "help"):
    print("apsis DOOR --flag=value ...; apsis DOOR --help shows its flags.\n")
    print("\n".join(f"  {door:<12} {known[door]}." for door in known))
  else:
    from engine.errors import quoted
    from launch.command.door import fail

    (near,) = difflib.get_close_matches(name[:99], known, n=1) or [""]
    hint = f"did you mean {near}? " if near else ""
    fail(
      f"There is no door {quoted(name)}: {hint}name one of {', '.join(known)}."
    )
