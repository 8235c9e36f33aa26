"""What a flag names in Python: module:name."""

import importlib
from typing import Any

from engine.errors import UserError, quoted, words_of
from engine.settings import check_import


def named(path: str, flag: str) -> Any:
  """Imports what a flag names; None where its module has no such name.

  Args:
    path: module:name.
    flag: that has it, for complaints.

  Raises:
    UserError: where it names none, or the module cannot be imported.
  """
  check_import(flag, path)
  name, _, attribute = path.partition(":")
  try:
    return getattr(importlib.import_module(name), attribute, None)
  except (Exception, SystemExit) as error:
    raise UserError(
      f"`{flag}` is {quoted(path)}, but {name} cannot be imported "
      f"({words_of(error)}): name module:NAME of one that can."
    ) from error
