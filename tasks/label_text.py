"""How labels are written, and which writings are one label."""

import unicodedata

_LONGEST = 1000  # Characters: what is longer is a text, not a label.
_ENDS = "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"  # Of a cell or a line.
# What turns the direction of text: marks, embeddings, isolates.
_TURNS = (
  "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_TRUTHS = {"true": "1", "false": "0"}


def fault_of(label: str) -> str:
  """Says why a text names no class; "" where it may."""
  if not label:
    return "is empty"
  if len(label) > _LONGEST:
    return f"has {len(label):,} characters, more than {_LONGEST:,}"
  if not label.isprintable():
    faults = filter(None, map(_fault_of_letter, label))
    return next((f"has {what} in it" for what in faults), "")
  return ""


def fault_of_name(name: str) -> str:
  """As `fault_of`, of a class: labels in files have no outer spaces."""
  return fault_of(name) or ("has outer spaces" if name != name.strip() else "")


def _fault_of_letter(letter: str) -> str:
  """Says what does not stay in one line of UTF-8 that is shown as it is."""
  if letter in _ENDS:
    return "a tab or the end of a line"
  if letter in _TURNS:
    return "a character that turns the direction of text"
  kinds = {"Cc": "a control character", "Cs": "half of a character"}
  return kinds.get(unicodedata.category(letter), "")


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
