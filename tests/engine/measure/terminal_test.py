"""What a person sees: one block that renews itself, or plain lines."""

import fcntl
import io
import os
import pty
import re
import struct
import termios

import pytest

from engine.measure.terminal import (
  Terminal,
  cut,
  progress_line,
  scores,
  time_left,
)

POINT = {"loss": 0.5, "learning_rate": 1e-4}


def work(examples):
  """The work of a log point: 50 real tokens an example, 2 % of padding."""
  return {
    "examples": examples,
    "units": examples * 49,
    "capacity": examples * 50,
    "seconds": examples / 100,
  }


class Screen(io.StringIO):
  def isatty(self):
    return True

  def lines(self):
    """What stands on the screen, by the codes that the block uses."""
    rows, row = [""], 0
    for code, text in re.findall(
      r"(\033\[\d*[AJ]|\r|\n)|([^\033\r\n]+)", self.getvalue()
    ):
      if code == "\n":
        row += 1
        rows += [""] * (row + 1 - len(rows))
      elif code.endswith("A"):
        row -= int(code[2:-1])
      elif code.endswith("J"):
        rows[row:] = [""]
      elif text:
        rows[row] += text
    return rows[:-1] if not rows[-1] else rows


def terminal(stream, quiet=False, train_steps=10):
  return Terminal(train_steps=train_steps, quiet=quiet, stream=stream)


def test_a_terminal_has_one_block_that_renews_itself():
  screen = Screen()
  live = terminal(screen)
  live.show("train", 1, POINT)
  assert len(screen.lines()) == 2
  rated = {**POINT, "gradient_norm": 2.0, "steps_per_second": 2.0}
  live.show("train", 2, {**rated, "work": work(100)})
  live.show("eval", 2, {"accuracy": 0.75, "confusion": [[1]]})
  live.show("train", 4, {**rated, "work": work(150)})
  assert screen.lines() == [
    "eval at step 2: accuracy 0.7500",
    f"[{'#' * 12}{'.' * 18}] 40%  step 4/10  0:03 left",
    "loss 0.5000  learning rate 1.0e-04  gradient norm 2.00",
    "100.0 examples/s  4,900 real tokens/s  2.0% padding",
    "eval at step 2: accuracy 0.7500",
  ]
  live.say("resumed")
  assert screen.lines()[:3] == [
    "eval at step 2: accuracy 0.7500",
    "resumed",
    f"[{'#' * 12}{'.' * 18}] 40%  step 4/10  0:03 left",
  ]
  live.close()
  live.say("finished")
  assert screen.lines()[-1] == "finished"
  assert len(screen.lines()) == 7


RATED = {**POINT, "steps_per_second": 2.0}


def test_the_block_has_the_last_evaluation_when_it_is_left():
  screen = Screen()
  live = terminal(screen)
  live.show("train", 8, RATED)
  live.show("eval", 8, {"accuracy": 0.75})
  assert screen.lines()[-1] == "loss 0.5000  learning rate 1.0e-04"
  live.show("train", 10, RATED)
  live.show("eval", 10, {"accuracy": 0.5})
  live.close()
  assert len(screen.lines()) == 5
  assert screen.lines()[-1] == "eval at step 10: accuracy 0.5000"


@pytest.mark.parametrize(
  ("columns", "first"),
  [
    (20, "20%  step 2/10  0:0"),  # What matters comes first.
    (30, "20%  step 2/10  0:04 left"),
    (49, "[####................] 20%  step 2/10  0:04 left"),
    (200, f"[{'#' * 6}{'.' * 24}] 20%  step 2/10  0:04 left"),
  ],
)
def test_the_block_fits_the_screen(monkeypatch, columns, first):
  monkeypatch.setattr(Terminal, "_columns", lambda _: columns)
  screen = Screen()
  live = terminal(screen)
  for step in (1, 2):
    live.show("train", step, RATED)
  assert len(screen.lines()) == 2
  assert screen.lines()[0] == first
  assert max(map(len, screen.lines())) < columns


def test_a_block_behind_a_resize_is_a_new_one(monkeypatch):
  """The old one may have been wrapped: nobody knows how high it is."""
  widths = iter([80] * 2 + [30] * 4)
  monkeypatch.setattr(Terminal, "_columns", lambda _: next(widths))
  screen = Screen()
  live = terminal(screen)
  for step in (1, 2, 3):
    live.show("train", step, RATED)
  shown = screen.lines()
  assert len(shown) == 4
  assert "step 1/10" in shown[0] and shown[2] == "30%  step 3/10  0:03 left"


def test_the_width_is_that_of_the_stream():
  """COLUMNS says what it was when a shell began."""
  ours, theirs = pty.openpty()
  with open(theirs, "w", closefd=True) as stream:
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 24, 33, 0, 0))
    assert terminal(stream)._columns() == 33
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 0, 0, 0, 0))
    assert terminal(stream)._columns() == 80
  os.close(ours)
  assert terminal(io.StringIO())._columns() == 80


def test_wide_characters_take_two_columns():
  assert cut("猫と犬 a", 6) == "猫と犬"
  assert cut("猫と犬 a", 5) == "猫と"
  assert cut("abc", 3) == "abc"


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_gets_plain_lines(monkeypatch, kind):
  monkeypatch.setenv("TERM", kind)
  screen = Screen()
  live = terminal(screen)
  live.show("train", 1, POINT)
  live.show("train", 2, POINT)
  assert screen.getvalue().count("\n") == 2
  assert "\033" not in screen.getvalue()


def test_no_colour_is_ever_written(monkeypatch):
  """So NO_COLOR has nothing to turn off."""
  screen = Screen()
  live = terminal(screen)
  for step in (1, 2):
    live.show("train", step, RATED)
  assert set(re.findall(r"\033\[\d*([A-Za-z])", screen.getvalue())) == {
    "A",
    "J",
  }


def test_a_file_gets_plain_lines_and_quiet_gets_none():
  for quiet, lines in ((False, 3), (True, 0)):
    stream = io.StringIO()
    plain = terminal(stream, quiet)
    plain.show("train", 1, POINT)
    plain.show("train", 2, {**POINT, "work": work(100)})
    plain.show("eval", 2, {"accuracy": 0.75})
    assert stream.getvalue().count("\n") == lines
    assert not set("\r\033") & set(stream.getvalue())


def test_the_progress_line_tells_the_time_left():
  point = {**POINT, "steps_per_second": 0.5, "examples_per_second": 16.0}
  assert progress_line(40, 100, point) == (
    "step 40/100  40%  loss 0.5000  lr 1.0e-04  16.0 examples/s  2:00 left"
  )
  assert progress_line(1, 100, POINT).endswith("compiling")
  half = progress_line(1, 100, {**POINT, "skipped_steps": 2})
  assert "2 overflowed" in half
  assert time_left(0, 3661, {"steps_per_second": 1.0}) == "1:01:01 left"


def test_a_reader_that_goes_away_does_not_stop_the_training():
  class Gone(io.StringIO):
    def write(self, text):
      raise BrokenPipeError

  plain = terminal(Gone())
  plain.show("train", 1, POINT)
  plain.show("train", 2, POINT)


def test_the_metric_of_record_has_its_interval_and_number():
  split = {
    "loss": 0.5,
    "accuracy": 0.75,
    "examples_seen": 1408,
    "of_record": "accuracy",
    "intervals": {"accuracy": [0.7, 0.79], "loss": [0.4, 0.6]},
  }
  text = "loss 0.5000  accuracy 0.7500 [0.7000, 0.7900] of 1,408"
  assert scores(split) == text
  other = {f"other/{name}": value for name, value in split.items()}
  both = scores({**split, **other})
  assert both == f"{text}  other/loss 0.5000  other/{text.split('  ')[1]}"
  assert scores({"accuracy": 0.5}) == "accuracy 0.5000"


def test_what_is_said_does_nothing_to_a_terminal():
  screen = Screen()
  Terminal(train_steps=1, quiet=False, stream=screen).say("of \033[2Jann\a")
  assert screen.getvalue() == "of \\x1b[2Jann\\x07\n"
