"""Contents that a reader may meet: those of a good file, altered."""

import json

from hypothesis import strategies as st

# What parsers stumble over, in bytes; each stands in for a piece of the file.
_PIECES = (
  b"",
  b"\0",
  b"\xff",
  b"\xef\xbb\xbf",
  b"\xed\xa0\x80",  # Half of a surrogate pair.
  b"\\ud800",
  b"\r",
  b"\n",
  b"\x1b[31m",
  "\u2028\u00a0\u202e".encode(),
  b'"',
  b"'",
  b"{",
  b"}",
  b"[",
  b",",
  b":",
  b"\t",
  b"#",
  b"&a [*a]",
  b"!!python/object/apply:os.system ['exit 1']",
  b"NaN",
  b"-Infinity",
  b"1e400",
  b"-1",
  b"0x10",
  b"1" * 5000,
  b"null",
  b"true",
  b"[" * 3000,
  b'{"a":' * 3000,
  b"../../etc/passwd",
  b"/dev/null",
  b"a" * 70_000,
)
_NUMBERS = (0, -1, 2**31, 2**63, 10**400, 1e308, 0.5)
_TEXTS = ("", "x", "\ud800", "\0", "/dev/null", "../x", "a" * 2000, "1", "nan")
# The inverse of `json.loads`, NaN and lone surrogates included.
_values = st.recursive(
  st.sampled_from((None, True, False, float("nan"), *_NUMBERS, *_TEXTS)),
  lambda each: (
    st.lists(each, max_size=3)
    | st.dictionaries(st.sampled_from(("a", "step", "files")), each, max_size=3)
  ),
  max_leaves=5,
)


@st.composite
def altered(draw, content: bytes) -> bytes:
  """Some bytes of a content go, change, come twice, or are another's."""
  for _ in range(draw(st.integers(1, 3))):
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 40)))
    way = draw(st.integers(0, 4))
    if way == 0:  # One bit.
      changed = bytearray(content)
      if changed:
        changed[start % len(changed)] ^= 1 << draw(st.integers(0, 7))
      content = bytes(changed)
    elif way == 1:
      content = content[:start]
    elif way == 2:
      content = content[:end] + content[start:]
    else:
      piece = draw(st.sampled_from(_PIECES) | st.binary(max_size=8))
      content = content[:start] + piece + content[end:]
  return content


@st.composite
def retyped(draw, content: bytes) -> bytes:
  """A value somewhere in JSON, or in one of its lines, is another."""
  lines = content.splitlines(keepends=True)
  before, after = b"", b""
  if _is_lines(content):
    place = draw(st.integers(0, len(lines) - 1))
    before, after = b"".join(lines[:place]), b"".join(lines[place + 1 :])
    content = lines[place]
  box = [json.loads(content)]
  holder, key = box, 0
  while holder[key] and isinstance(holder[key], dict | list):
    if not draw(st.integers(0, 3)):
      break
    holder = holder[key]
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    key = draw(st.sampled_from(keys))
  if isinstance(holder, dict) and not draw(st.integers(0, 4)):
    del holder[key]
  else:
    holder[key] = draw(_values)
  return before + json.dumps(box[0]).encode() + b"\n" + after


def _is_lines(content):
  return b"}\n{" in content


def contents(content: bytes) -> st.SearchStrategy[bytes]:
  """All kinds of it."""
  kinds = altered(content) | altered(content) | st.binary(max_size=64)
  try:
    json.loads(content.splitlines()[0] if _is_lines(content) else content)
  except ValueError:
    return kinds
  return kinds | retyped(content) | retyped(content)
