"""Which label is which class, and what is said of one that is none."""

import pytest

from engine.errors import UserError
from tasks.class_names import ClassNames


def test_names_and_numbers_are_labels():
  named = ClassNames(("no", "yes"), given=True)
  assert [named.number(x, "") for x in ("no", "yes", "0", "1")] == [0, 1, 0, 1]
  digits = ClassNames(("3", "1"), given=True)
  assert [digits.number(x, "") for x in ("3", "1")] == [0, 1]
  for classes, label in ((named, "2"), (digits, "0"), (named, "maybe")):
    with pytest.raises(UserError, match=f"x, line 3: the label '{label}'"):
      classes.number(label, "x, line 3")


def test_digits_are_places_only_where_somebody_has_given_an_order():
  found = ClassNames(("duplicate", "not_duplicate"), given=False)
  with pytest.raises(UserError, match="'1' is none of.*--classes in the order"):
    found.number("1", "x, line 2")
  # As false and true are numbers, 1 is true and not what stands there.
  truths = ClassNames(("true", "false"), given=True)
  assert [truths.number(x, "") for x in ("true", "1", "0")] == [0, 0, 1]


def test_another_writing_of_a_class_is_that_class_and_said_once(caplog):
  classes = ClassNames(("0", "1", "10"), given=False)
  for _ in range(2):
    assert [classes.number(x, "x, line 7") for x in ("1.0", "010")] == [1, 2]
  assert caplog.text.count("x, line 7: '1.0' is read as the class '1'") == 1
  codes = ClassNames(("1", "01"), given=True)  # Asked for: two classes.
  assert [codes.number(x, "") for x in ("01", "1")] == [1, 0]
  with pytest.raises(UserError, match="'1.0' is none of"):
    codes.number("1.0", "x, line 2")


@pytest.mark.parametrize(
  "label, hint",
  [("Yes", "though it looks like 'yes'"), ("-1", "often hides a label")],
)
def test_a_near_miss_is_told_and_not_taken(label, hint):
  with pytest.raises(UserError, match=f"is none of .*{hint}") as caught:
    ClassNames(("no", "yes"), given=False).number(label, "x, line 2")
  assert len(str(caught.value)) < 300
