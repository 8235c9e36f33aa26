"""What a cell says, whatever kind of file it is in."""

import math

import pytest

from tasks.data.cells import is_left_out, label_of, text_of, weight_of


@pytest.mark.parametrize(
  "value, label",
  [
    (" yes\u00a0", "yes"),
    (1, "1"),
    (1.0, "1"),
    (True, "1"),
    (False, "0"),
    (0.5, "0.5"),
    (-0.0, "0"),
    (10**400, f"1{'0' * 400}"),
  ],
)
def test_a_label_is_a_text(value, label):
  assert label_of(value) == label


@pytest.mark.parametrize(
  "value, fault",
  [
    ("", "the label is empty"),
    (" \t", "the label is empty"),
    (math.nan, "the label is NaN, so there is none"),
    (-math.inf, "the label is -Infinity, so there is none"),
    ([1, 2], "the label is a list"),
    ({"a": 1}, "the label is an object"),
    ("ye\ns", r"the label 'ye\\ns' has a tab or the end of a line"),
    ("9" * 5000, "'9+\\.\\.\\.9+' has 5,000 characters"),
  ],
)
def test_what_is_no_label_is_none(value, fault):
  with pytest.raises(ValueError, match=fault):
    label_of(value)


@pytest.mark.parametrize(
  "value, fault",
  [
    (" ", "the first sentence is empty"),
    (math.nan, "the first sentence is NaN, so there is none"),
    (math.inf, "the first sentence is Infinity"),
    (["a"], "the first sentence is a list"),
    ({}, "the first sentence is an object"),
    (True, "the first sentence is true, which is no text"),
  ],
)
def test_what_is_no_text_is_no_sentence(value, fault):
  assert [text_of(x, "first") for x in ("a ", 7, "nan")] == ["a ", "7", "nan"]
  with pytest.raises(ValueError, match=fault):
    text_of(value, "first")


@pytest.mark.parametrize(
  "value",
  [-1, "-0.1", "x", "", None, math.nan, "inf", 1e31, [1], True, 10**400],
)
def test_what_is_no_number_is_no_weight(value):
  assert [weight_of(x) for x in ("0", 0.5, " 2 ", 3)] == [0, 0.5, 2, 3]
  with pytest.raises(ValueError, match="is no number of 0 or more"):
    weight_of(value)


def test_one_word_leaves_out_all_its_writings():
  assert all(is_left_out(x, "-1") for x in (-1, -1.0, "-1", " -1.0"))
  assert is_left_out(None, "null") and is_left_out(math.nan, "nan")
  assert is_left_out("-", "-") and is_left_out("", "")
  for value in (1, "1", None, math.nan, [], "null"):
    assert not is_left_out(value, "-1")
