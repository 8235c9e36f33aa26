"""Pictures of what goes into a run."""

import numpy as np
import pytest

from launch.command import configs
from launch.pages.model_picture import box_of
from launch.pages.views import views
from tasks.data import pairs_on_disk
from tasks.tokens.pair_source import PairSource
from tests.support import doors
from tests.support.testing import pairs_of, tiny_task

SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def task():
  return tiny_task()


def test_dense_arrays_hold_the_tokens_and_nothing_else(task):
  source = task.pair_source(
    pairs_of([("the old man sat", "he sat"), ("yes", "no"), ("a", "b c d e")])
  )
  assert isinstance(source, PairSource)
  encoded = source.encoded
  arrays = encoded.dense()
  longest = encoded.lengths.max()
  assert {array.shape for array in arrays.values()} == {(3, longest)}
  mask = arrays["input_mask"].astype(bool)
  assert np.array_equal(mask.sum(1), encoded.lengths)
  assert np.array_equal(arrays["input_word_ids"][mask], encoded.ids)
  assert not arrays["input_word_ids"][~mask].any()
  second = (arrays["input_type_ids"] == 1).sum(1)
  assert np.array_equal(second, encoded.lengths - encoded.first)
  assert encoded.dense(64)["input_mask"].shape == (3, 64)


def test_a_picture_of_a_model_counts_each_weight_once(task):
  model = task.build_model()
  box = box_of(model)
  assert box.weights == model.count_params()
  assert [inner.name for inner in box.inner] == ["encoder", "head"]
  encoder = box.inner[0]
  assert encoder.weights == model.encoder.count_params()
  assert [x.times for x in encoder.inner if x.times > 1] == [2]  # The blocks.


def test_inspect_writes_each_picture_and_says_so(tmp_path):
  out = tmp_path / "pictures"
  ended = doors.enter(
    tmp_path, "launch.inspect", "--encoder=tiny", f"--out={out}"
  )
  assert ended.status == 0, ended.err
  names = ["arrays", "lengths", "schedule", "model", "packing"]
  assert [line.split()[0] for line in ended.out.splitlines()] == names
  for name in names:
    assert (out / f"{name}.png").read_bytes().startswith(SIGNATURE)
  assert len(list(out.iterdir())) == len(names)


def test_pairs_on_disk_are_drawn_too(tmp_path, monkeypatch):
  monkeypatch.setattr(pairs_on_disk, "LARGE", 0)
  config = configs.build_config([{"task": {"encoder": "tiny"}}])
  drawn = dict(views(config, "train", str(tmp_path)))
  assert drawn["arrays"].startswith("984 pairs of train, ")
  assert (tmp_path / "packing.png").read_bytes().startswith(SIGNATURE)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "`out` is not given: add --out=..."),
    (["--out=/proc/here"], "`out` /proc/here cannot be made"),
    (["--out=.", "--task=none"], "`task` is 'none'"),
  ],
)
def test_inspect_refuses_in_one_line(tmp_path, arguments, message):
  ended = doors.enter(tmp_path, "launch.inspect", *arguments)
  assert ended.status == 2
  assert message in ended.err
  assert len(ended.err.strip().splitlines()) == 1
