"""Which columns of text files have the sentences, and which the labels."""

import dataclasses
import re
from collections.abc import Sequence

from engine.errors import UserError, shortened
from tasks.data.forms import Form, FormSettings, find_files, say_once
from tasks.data.row_files import header_fault, opened
from tasks.data.tables import Choice, Roles, Table

# What columns are called in published sets, without case and punctuation.
_USUAL = {
  "text_a": (
    "texta text1 sentence1 sentencea sent1 s1 question1 q1 premise question "
    "1string"
  ),
  "text_b": (
    "textb text2 sentence2 sentenceb sent2 s2 question2 q2 hypothesis sentence "
    "answer 2string"
  ),
  "label": (
    "label labels goldlabel gold class target quality isduplicate score "
    "similarity relatednessscore entailmentjudgment entailmentlabel"
  ),
}
_ALONE = "text sentence"  # Besides, where there is one sentence a row.
GUESS = "auto"
_GUESSED = Roles(GUESS, GUESS, GUESS)
_AS_NAMED, _ALL = FormSettings(), Choice()


def open_table(
  pattern: str,
  roles: Roles = _GUESSED,
  *,
  setting: str,
  may_lack_labels: bool = False,
  form: FormSettings = _AS_NAMED,
  choice: Choice = _ALL,
) -> Table:
  """Finds files and their columns, guessed where their names make it clear.

  Args:
    pattern: paths and globs, with commas between.
    roles: names of columns; or `GUESS`, but for the weights.
    setting: that holds the pattern, for complaints.
    may_lack_labels: whether the named column need not be there.
    form: what the user says of it.
    choice: of rows.

  Raises:
    UserError: where files or columns are not there.
  """
  paths = find_files(pattern, setting)
  found_form = form.form_of(paths[0])
  there = columns_of(paths[0], found_form)
  if found_form.columns and found_form.kind != "jsonl":
    for path in paths:
      _check_headless(path, found_form, two=bool(roles.text_b))
  given = roles._asdict()
  if may_lack_labels and roles.label not in (GUESS, *there):
    given["label"] = ""
  found, faults = {}, {}
  for role, name in given.items():
    usual = _USUAL.get(role, "").split()
    if role == "text_a" and not roles.text_b:
      usual += _ALONE.split()
    found[role], fault = _find(role, name, there, usual)
    if fault:
      faults[role] = fault
  if faults:
    flags = " ".join(f"--{role}=COLUMN" for role in faults)
    raise UserError(
      f"{paths[0]} has the columns {shortened(there, 100)}, but "
      f"{'; '.join(faults.values())}: say {flags}, or name all by "
      "--columns=... if there is no header."
    )
  if form.quoting == "auto" and not found_form.quoting and _are_quoted(there):
    say_once(
      f"{paths[0]}: its columns are in quotes, which are taken as parts of "
      "names and texts: --quoting=on reads them as quotes."
    )
  if found["label"] and found["label"] in (found["text_a"], found["text_b"]):
    raise UserError(
      f"`label` is {found['label']!r}, which has sentences too: name the "
      f"column of labels by --label=COLUMN, one of {there}."
    )
  guessed = [f"{k}={v}" for k, v in found.items() if v and given[k] == GUESS]
  if guessed:
    say_once(f"{paths[0]}: took {', '.join(guessed)}.")
  return Table(paths, found_form, Roles(**found), choice)


def _check_headless(path: str, form: Form, *, two: bool) -> None:
  """Refuses a first row of usual names where columns are named."""
  try:
    first = columns_of(path, dataclasses.replace(form, columns=()))
  except UserError:
    return  # Whoever reads the row says what is wrong, or passes over it.
  names = text_columns(first, GUESS, GUESS if two else "")
  label, _ = _find("label", GUESS, first, _USUAL["label"].split())
  if names and (two or label):  # A text alone may be one word.
    raise header_fault(path, names[0])


def text_columns(
  columns: Sequence[str], text_a: str, text_b: str
) -> tuple[str, str] | None:
  """Returns which columns of an unlabelled file have the sentences.

  Args:
    columns: names of all.
    text_a: of the first sentences, as a run has it; others may be called so as
      is usual.
    text_b: of the second ones; "": there is one sentence a row, and no column.

  Returns:
    Both names; None where no such columns are there.
  """
  found = []
  for role, name in (("text_a", text_a), ("text_b", text_b)):
    if not name or (name != GUESS and columns.count(name) == 1):
      found.append(name)
      continue
    usual = _USUAL[role].split()
    if role == "text_a" and not text_b:
      usual += _ALONE.split()
    column, fault = _find(role, GUESS, list(columns), usual)
    if fault:
      return None
    found.append(column)
  return found[0], found[1]


def columns_of(path: str, form: Form) -> list[str]:
  """Returns the names of the columns of a file."""
  with opened(path, form) as file:
    return file.columns


def _are_quoted(columns: Sequence[str]) -> bool:
  return all(re.fullmatch('".+"', name) for name in columns)


def _find(
  role: str, name: str, columns: list[str], usual: Sequence[str]
) -> tuple[str, str]:
  """Returns the column of a role, and what is wrong with it, if anything is."""
  if name != GUESS:
    if not name or columns.count(name) == 1:
      return name, ""
    fault = "more than once" if name in columns else "not"
    return name, f"`{role}` is {name!r}, which is {fault} there"
  fits = [x for x in columns if re.sub("[^a-z0-9]", "", x.lower()) in usual]
  if len(fits) == 1:
    return fits[0], ""
  if fits:
    return "", f"`{role}` could be each of {fits}"
  # Labels need not be there: not all pairs have some.
  return "", "" if role == "label" else f"nothing is called like `{role}`"
