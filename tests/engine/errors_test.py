"""What stands in a message is bounded, whatever it is."""

from engine.errors import Damaged, listed, one_line, quoted, shortened, words_of

LONG = [f"{'long' * 30} {i}" for i in range(1000)]


def test_what_is_long_loses_its_middle():
  assert shortened("a path") == "a path"
  assert shortened("begin" + "x" * 99 + "end", 11) == "begi...xend"
  for value in (LONG, LONG[0], 10**5000, dict.fromkeys(LONG)):
    assert len(quoted(value)) == 60
  assert quoted("a\nb") == "'a\\nb'"


def test_of_many_values_the_first_are_listed():
  assert listed(["a", "b"]) == "['a', 'b']"
  assert len(listed(LONG)) < 140
  assert listed(LONG).endswith("and 996 more]")


def test_the_words_of_an_error_are_one_line():
  assert words_of(OSError("no\n  room")) == "no room"
  assert words_of(ValueError()) == "ValueError"
  ops = "{{function_node x_device_/job:a}} x; full [[{{node y}}]] [Op:SaveV2]"
  assert words_of(OSError(ops)) == "x; full"
  assert len(words_of(ValueError("x" * 999))) == 120


def test_the_text_of_others_is_one_line_of_printable_characters():
  assert one_line("a\x1b[31mb\nc\u202ed\ud800") == r"a\x1b[31mb c\u202ed\ud800"
  assert one_line("0123456789", 10) == "0123456789"
  assert one_line("0123456789abc", 10) == "012...9abc"


def test_a_long_line_keeps_its_beginning_and_its_cure():
  line = one_line(f"{Damaged('/x/' + 'y' * 500, 'was altered')}")
  assert len(line) <= 300
  assert line.startswith("/x/y")
  assert line.endswith("was altered: bring it back from a copy.")
