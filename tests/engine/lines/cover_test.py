"""What a log had is noted; what is not there any more is counted."""

import pytest

from engine.lines.cover import Cover, Gap, Tally, gap_in

LINES = [{"step": step, "loss": 1 / (step + 1)} for step in range(12)]


def cover_of(count):
  tally = Tally()
  for line in LINES[:count]:
    tally.add(line)
  return tally.cover()


COVERS = [cover_of(9), cover_of(4), cover_of(6)]


def test_lines_behind_the_newest_cover_are_free():
  for count in range(9, 13):
    assert gap_in(LINES[:count], COVERS) is None
  assert gap_in([*LINES[:9], {"step": 9, "loss": 7.0}], COVERS) is None


@pytest.mark.parametrize("first", range(9))
@pytest.mark.parametrize("count", range(1, 5))
def test_each_hole_is_counted_and_placed(first, count):
  left = LINES[:first] + LINES[first + count :]
  gone = min(9, first + count) - first
  whole = [x for x in (4, 6) if x <= first]
  since = LINES[max(whole) - 1]["step"] if whole else 0
  assert gap_in(left, COVERS) == Gap(gone, 9, since)
  assert str(gap_in(left, COVERS)) == (
    f"of 9 lines {gone} are gone, after step {since}"
  )


@pytest.mark.parametrize(
  "lines",
  [
    [*LINES[:6], {**LINES[6], "loss": 0.1429}, *LINES[7:]],
    [*LINES[:6], LINES[7], LINES[6], *LINES[8:]],
    [*LINES[:8], *LINES[7:]],
  ],
)
def test_what_was_altered_is_said_to_be_that(lines):
  gap = gap_in(lines, COVERS)
  assert gap == Gap(0, 9, 5)
  assert str(gap) == "of 9 lines some were altered, after step 5"


def test_damaged_lines_are_known_and_not_counted_twice():
  assert gap_in(LINES[:5] + LINES[6:], COVERS, damaged=1) is None
  assert gap_in(LINES[:5] + LINES[8:], COVERS, damaged=1) == Gap(2, 9, 3)


def test_without_covers_nothing_is_known():
  assert gap_in([], []) is None
  assert gap_in(LINES, [Cover(0, 0, Tally().cover().sha256)]) is None
  assert gap_in([], [cover_of(2)]) == Gap(2, 2, 0)
