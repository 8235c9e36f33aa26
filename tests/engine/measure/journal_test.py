"""Log points: no gap, no step twice."""

import io
import json

from tensorboard.backend.event_processing.event_accumulator import (
  EventAccumulator,
)
from tensorboard.plugins.hparams import plugin_data_pb2 as hparams

from engine.lines.reading import read_jsonl
from engine.measure.journal import Journal
from engine.measure.terminal import Terminal

POINT = {"loss": 0.5, "learning_rate": 1e-4}


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


def test_tensorboard_has_the_settings_as_text_and_in_its_table(tmp_path):
  log = Journal(str(tmp_path), step=0, terminal=terminal())
  log.write_settings({"a.rate": 0.5, "a.on": True, "a.names": ("x", "y")})
  log.close()
  events = EventAccumulator(str(tmp_path / "tensorboard"))
  events.Reload()
  (text,) = events.Tensors("settings")
  assert b"| a.rate | `0.5` |" in text.tensor_proto.string_val[0]
  (found,) = events.PluginTagToContent("hparams").values()
  values = hparams.HParamsPluginData.FromString(found).session_start_info
  assert values.hparams["a.rate"].number_value == 0.5
  assert values.hparams["a.on"].bool_value is True
  assert values.hparams["a.names"].string_value == "('x', 'y')"
