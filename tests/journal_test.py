"""Log points: no gap, no step twice, one live line."""

import io
import json

from engine.journal import Journal, Terminal, progress_line, read_jsonl

POINT = {"loss": 0.5, "learning_rate": 1e-4}


class Screen(io.StringIO):
  def isatty(self):
    return True


def terminal(stream=None, quiet=True):
  return Terminal(train_steps=10, quiet=quiet, stream=stream or io.StringIO())


def test_lines_behind_the_restored_step_are_dropped(tmp_path):
  log = Journal(str(tmp_path), step=0, terminal=terminal())
  for step in (2, 4, 6):
    log.write("train", step, POINT)
  log.write("eval", 4, {"accuracy": 1.0})
  log.close()
  with open(tmp_path / "metrics.jsonl", "a") as file:
    file.write('{"step": 8, "ki')  # A killed process wrote half a line.
  again = Journal(str(tmp_path), step=4, terminal=terminal())
  assert [line["step"] for line in again.dropped] == [6]
  assert again.has("eval", 4)
  assert not again.has("eval", 6)
  again.write("train", 6, POINT)
  again.close()
  steps = [line["step"] for line in read_jsonl(tmp_path / "metrics.jsonl")]
  assert steps == [2, 4, 4, 6]


def test_every_line_is_json_and_tensorboard_gets_the_scalars(tmp_path):
  log = Journal(str(tmp_path), step=0, terminal=terminal())
  log.write("train", 1, POINT)
  log.close()
  line = (tmp_path / "metrics.jsonl").read_text()
  assert json.loads(line) == {"step": 1, "kind": "train", **POINT}
  events = list((tmp_path / "tensorboard" / "train").iterdir())
  assert len(events) == 1
  assert b"learning_rate" in events[0].read_bytes()


def test_a_terminal_gets_one_line_that_renews_itself():
  screen = Screen()
  live = terminal(screen, quiet=False)
  live.show("train", 1, POINT)
  live.show("train", 2, POINT)
  live.show("eval", 2, {"accuracy": 0.75})
  text = screen.getvalue()
  assert text.count("\r\033[K") == 2
  assert text.count("\n") == 2
  assert text.endswith("eval at step 2: accuracy 0.7500\n")


def test_a_file_gets_plain_lines_and_quiet_gets_none():
  for quiet, lines in ((False, 2), (True, 0)):
    stream = io.StringIO()
    plain = terminal(stream, quiet=quiet)
    plain.show("train", 1, POINT)
    plain.show("train", 2, POINT)
    assert stream.getvalue().count("\n") == lines
    assert "\r" not in stream.getvalue()


def test_the_progress_line_tells_the_time_left():
  point = {**POINT, "steps_per_second": 0.5, "examples_per_second": 16.0}
  assert progress_line(40, 100, point) == (
    "step 40/100  40%  loss 0.5000  lr 1.0e-04  16.0 examples/s  2:00 left"
  )
  assert progress_line(1, 100, POINT).endswith("compiling")
  half = progress_line(1, 100, {**POINT, "skipped_steps": 2})
  assert "2 overflowed" in half
