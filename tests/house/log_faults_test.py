"""Lines that a checkpoint has behind it, and that are gone, are counted."""

import functools
import json
import os
import pathlib
import shutil

import pytest
import tensorflow as tf

from engine.durability import manifest
from engine.errors import Preempted
from engine.files import json_digest
from engine.lines import segments
from engine.lines.reading import read_jsonl
from launch.pages.page import write_page
from tests.engine.run import resume_test
from tests.engine.run.resume_test import NoticeAt

run = functools.partial(resume_test.run, checkpoint={"checkpoint_interval": 5})
LOGS = ("metrics.jsonl", "example_ids.jsonl")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
  """A run that has stopped behind an evaluation and two checkpoints."""
  path = tmp_path_factory.mktemp("stopped") / "run"
  with pytest.raises(Preempted):
    run(path, notices=NoticeAt(4))
  return path


@pytest.fixture
def copy(stopped, tmp_path):
  return shutil.copytree(stopped, tmp_path / "run")


def lines(path):
  return path.read_text().splitlines(keepends=True)


def write(path, rows):
  path.write_text("".join(rows))


def newest(directory):
  prefix = manifest.prefixes(str(directory / "checkpoints"))[-1]
  return manifest.read_manifest(prefix)


def test_a_checkpoint_has_all_lines_of_its_time_behind_it(copy):
  noted = newest(copy).logs
  assert {name: facts["lines"] for name, facts in noted.items()} == {
    name: len(lines(copy / name)) for name in LOGS
  }
  assert noted["metrics.jsonl"]["step"] == newest(copy).step


@pytest.mark.parametrize("name", LOGS)
def test_lines_that_are_gone_are_said_once_and_cost_no_others(
  copy, tmp_path, caplog, name
):
  rows = lines(copy / name)
  write(copy / name, rows[:1] + rows[2:])
  with pytest.raises(Preempted):
    run(copy, notices=NoticeAt(0))
  assert f"{name}: of {len(rows)} lines 1 are gone, after step" in caplog.text
  assert lines(copy / name)[: len(rows) - 1] == rows[:1] + rows[2:]
  caplog.clear()
  result = run(copy)  # The process that missed it did not come to the end.
  assert "gone" not in caplog.text
  assert result["lost"] == {name: 1}
  assert newest(copy).logs[name]["lines"] == len(lines(copy / name))


def test_a_log_that_is_gone_or_altered_is_missed(copy, caplog):
  rows = lines(copy / "metrics.jsonl")
  first = json.loads(rows[0])
  write(
    copy / "metrics.jsonl",
    [json.dumps({**first, "loss": first["loss"] + 1}) + "\n", *rows[1:]],
  )
  (copy / "example_ids.jsonl").unlink()
  steps = newest(copy).step
  left_out = write_page([str(copy)], str(copy / "report.html"))
  assert [x for x in left_out if "1 damaged or missing line(s)" in x]
  result = run(copy)
  assert f"of {len(rows)} lines some were altered" in caplog.text
  assert result["lost"] == {"metrics.jsonl": 1, "example_ids.jsonl": steps}
  assert json.loads(lines(copy / "metrics.jsonl")[0])["step"] == first["step"]


def test_an_older_run_has_nothing_noted_and_goes_on(copy):
  for prefix in manifest.prefixes(str(copy / "checkpoints")):
    path = pathlib.Path(f"{prefix}.manifest.json")
    values = json.loads(path.read_bytes())
    values = {k: v for k, v in values.items() if k not in ("logs", "digest")}
    values["format"] = 2
    path.write_text(json.dumps({**values, "digest": json_digest(values)}))
  write(copy / "metrics.jsonl", lines(copy / "metrics.jsonl")[1:])
  assert run(copy)["lost"] == {}
  assert newest(copy).logs


def test_a_page_believes_no_checkpoint_that_the_run_went_back_behind(copy):
  """Its steps were taken anew, and took other seconds."""
  step = newest(copy).step
  index = copy / "checkpoints" / f"ckpt-{step}.index"
  index.write_bytes(b"")
  with pytest.raises(Preempted):
    run(copy, notices=NoticeAt(0))
  assert newest(copy).step == step
  assert write_page([str(copy)], str(copy / "report.html")) == []


def test_a_run_on_a_store_is_the_same_and_its_logs_grow_by_segments(
  tmp_path, monkeypatch
):
  """`ram://` stands for `gs://`."""
  monkeypatch.setattr(segments, "_FULL", 300)
  store = "ram://log_faults/run"
  tf.io.gfile.makedirs(os.path.dirname(store))
  with pytest.raises(Preempted):
    run(store, notices=NoticeAt(4))
  assert len(segments.paths(f"{store}/metrics.jsonl")) > 1
  result, whole = run(store), run(tmp_path / "run")
  assert result["weights_sha256"] == whole["weights_sha256"]
  assert (result["lost"], result["restarts"]) == ({}, 1)
  ids = [
    read_jsonl(f"{x}/example_ids.jsonl") for x in (store, tmp_path / "run")
  ]
  assert ids[0] == ids[1] and len(ids[0]) == whole["global_step"]
  steps = [
    [x["step"] for x in read_jsonl(f"{directory}/metrics.jsonl")]
    for directory in (store, tmp_path / "run")
  ]
  assert set(steps[1]) <= set(steps[0])
