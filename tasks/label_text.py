"""How labels are written, and which writings are one label."""

import unicodedata

_LONGEST = 1000  # Characters: what is longer is a text, not a label.
_BREAKS = ("Cc", "Cs", "Zl", "Zp")  # What does not stay in one line of UTF-8.
_TRUTHS = {"true": "1", "false": "0"}


def fault_of(label: str) -> str:
  """Says why a text names no class; "" where it may."""
  if not label:
    return "is empty"
  if len(label) > _LONGEST:
    return f"has {len(label):,} characters, more than {_LONGEST:,}"
  if not label.isprintable() and any(map(_breaks, label)):
    return "has a tab, the end of a line or the like in it"
  return ""


def _breaks(letter: str) -> bool:
  return unicodedata.category(letter) in _BREAKS


def same(label: str) -> str:
  """Returns a text that all writings of one whole number or truth share.

  `1`, `1.0`, `01`, `+1` and `true` are 1, as one library or the other writes
  it. Any other label is itself alone.
  """
  sign = label[:1] if label[:1] in ("+", "-") else ""
  whole, _, rest = label[len(sign) :].partition(".")
  if whole.isascii() and whole.isdecimal() and not rest.strip("0"):
    whole = whole.lstrip("0") or "0"
    return f"-{whole}" if sign == "-" and whole != "0" else whole
  return _TRUTHS.get(label.lower(), label)


def is_number(label: str) -> bool:
  """Whether a label is a whole number or a truth, however it is written."""
  text = same(label).removeprefix("-")
  return text.isascii() and text.isdecimal()


def look(label: str) -> str:
  """Returns a text that labels share which a person takes for one."""
  plain = unicodedata.normalize("NFKC", label).casefold()
  visible = (x for x in plain if unicodedata.category(x) != "Cf")
  return " ".join("".join(visible).split())
