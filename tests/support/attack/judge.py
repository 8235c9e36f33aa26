"""What a door may do when something is wrong: the one judge of all campaigns.

Right is status 0 with the undisturbed result, or with another one that it says
why; or a documented status with one line of at most 300 characters that names
what is wrong. Never a traceback, never a signal, never a hang.
"""

import dataclasses
import json
import os
import re
from collections.abc import Collection

from tests.support.doors import Ended

LONGEST_LINE = 300  # Characters.
STATUSES = {0, 1, 2, 75}
_NAMED = re.compile(r"/|`\w+`|--\w+|\w+-\d+\b|\.(json|jsonl|yaml|npz|txt|tsv)")


class Overdue(Exception):
  """A door that did not end."""


@dataclasses.dataclass(frozen=True)
class Finding:
  """Something that is not right.

  Attributes:
    campaign: that found it.
    thing: what was attacked: a file, an operation, a reader.
    attack: what was done to it.
    door: that met it.
    fault: "traceback", "silent difference", "canary", ...
    detail: the last words.
  """

  campaign: str
  thing: str
  attack: str
  door: str
  fault: str
  detail: str = ""


def fault_of(ended: Ended, door: str) -> tuple[str, str]:
  """What is wrong with how a door ended; ("", "") for nothing.

  Args:
    ended: how it did.
    door: its module.

  Returns:
    The fault, and words of the door that show it.
  """
  text = ended.out + ended.err
  if "Traceback (most recent" in text or "Error in sys.excepthook" in text:
    return "traceback", last_line(ended.err)
  if ended.status not in STATUSES:
    return f"status {ended.status}", last_line(ended.err)
  if ended.status == 0:
    return "", ""
  name = door.rsplit(".", 1)[1]
  lines = [x for x in ended.err.splitlines() if x.startswith(f"{name}.py: ")]
  if ended.status == 1 and not lines and ended.out.strip():
    return "", ""  # A table that says what is damaged.
  if len(lines) != 1:
    return f"status {ended.status} with {len(lines)} lines", last_line(text)
  (line,) = lines
  if len(line) > LONGEST_LINE:
    return f"a line of {len(line)} characters", line
  if not _NAMED.search(line.removeprefix(f"{name}.py: ")):
    return "a line that names nothing", line
  return "", ""


def is_told(ended: Ended, path: str, usual: Ended) -> bool:
  """Whether a door said something of a file, or of what it belongs to.

  Args:
    ended: how it ended.
    path: of the file, relative to the run.
    usual: how the undisturbed door ended; its lines say nothing of it.
  """
  folder, base = os.path.split(path)
  names = {base, base.lstrip(".").partition(".")[0]}
  names |= {os.path.basename(folder).partition("_temp")[0]} - {""}
  said = set(_lines(usual))
  return any(
    name in line for line in _lines(ended) if line not in said for name in names
  )


def _lines(ended):
  """Lines without what differs each time: directories and numbers."""
  for line in (ended.out + "\n" + ended.err).splitlines():
    line = re.sub(r"(/[^\s/]+)+/", "/", line)
    yield re.sub(r"(?<!ckpt-)\d+", "N", line)


def last_line(text: str) -> str:
  """The last words of a door."""
  lines = [line for line in text.splitlines() if line.strip()]
  return lines[-1].strip()[:400] if lines else ""


def differing(expected: dict, found: dict) -> list[str]:
  """Names of facts that are not the same."""
  names = {*expected, *found}
  return sorted(x for x in names if expected.get(x) != found.get(x))


def write(findings: Collection[Finding], path: str) -> None:
  """Appends findings, a line of JSON each."""
  with open(path, "a") as file:
    for finding in findings:
      file.write(json.dumps(dataclasses.asdict(finding)) + "\n")


def table(findings: Collection[Finding]) -> str:
  """Returns findings as Markdown."""
  columns = [field.name for field in dataclasses.fields(Finding)]
  cell = lambda x: str(x).replace("|", "\\|").replace("\n", " ")[:160]
  rows = [[cell(getattr(x, c)) for c in columns] for x in findings]
  return "\n".join(
    f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows]
  )
