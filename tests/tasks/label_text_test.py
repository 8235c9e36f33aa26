"""Which writings are one label, and which texts are none."""

import pytest

from tasks.label_text import fault_of, is_number, look, same


@pytest.mark.parametrize(
  "number, writings",
  [
    ("1", ["1.0", "01", "+1", "1.", "001.00", "true", "True", "TRUE"]),
    ("0", ["0.0", "00", "-0", "+0", "-0.0", "false"]),
    ("-1", ["-1", "-1.0", "-01"]),
    ("9" * 5000, ["0" + "9" * 5000]),
  ],
)
def test_a_number_is_the_same_in_all_writings(number, writings):
  assert {same(text) for text in (number, *writings)} == {number}
  assert all(map(is_number, writings))


@pytest.mark.parametrize(
  "label",
  ["1.5", "1e0", "", ".", "-", "yes", "1x", "x1", "half-true", "²", "٣"],
)
def test_what_is_no_whole_number_is_itself(label):
  assert same(label) == label
  assert not is_number(label)


def test_labels_that_a_person_takes_for_one_look_alike():
  assert (
    len({look(x) for x in ("Not  same", "not same", "not\u00a0same ")}) == 1
  )
  assert look("caf\u00e9") == look("cafe\u0301")
  assert look("ye\u200bs") == look("yes")
  assert look("yes") != look("no")


@pytest.mark.parametrize(
  "label, fault",
  [
    ("", "empty"),
    ("a\tb", "a tab or"),
    ("a\nb", "the end of a line"),
    ("a\u2028b", "the end of a line"),
    ("a\x1b[31m", "a control character"),
    ("a\0", "a control character"),
    ("a\ud800", "half of a character"),
    ("a\u202eb", "turns the direction"),
    ("\u2067a\u2069", "turns the direction"),
    ("a\u200f", "turns the direction"),
    ("x" * 1001, "1,001 characters"),
  ],
)
def test_what_is_not_one_short_line_names_no_class(label, fault):
  assert fault in fault_of(label)
  assert not any(map(fault_of, ("yes", "not same", "は\u3000い", "ن\u200cه")))
