"""What pairs weigh in training, and weights that teach nothing."""

import numpy as np
import pytest

from engine.errors import UserError
from engine.task import WEIGHTS
from tasks.data import datasets, pairs_on_disk
from tests.support.testing import tiny_task

HEADER = "text_a\ttext_b\tlabel\tw"


def source_of(tmp_path, rows, **settings):
  """The training split of rows of label and weight."""
  lines = [f"one {i}\ttwo {i}\t{c}\t{w}" for i, (c, w) in enumerate(rows)]
  (tmp_path / "t.tsv").write_text("\n".join([HEADER, *lines]) + "\n")
  path = f"{tmp_path}/t.tsv"
  return tiny_task(name="pairs", train_file=path, **settings).source("train")


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
  "settings, weights",
  [
    ({}, [1, 1, 1, 1]),
    ({"class_weights": ("0.5", "3")}, [0.5, 0.5, 0.5, 3]),
    ({"class_weights": ("balanced",)}, [2 / 3, 2 / 3, 2 / 3, 2]),
    ({"weight": "w"}, [2, 2, 0, 2]),
    ({"weight": "w", "class_weights": ("balanced",)}, [4 / 3, 4 / 3, 0, 4]),
  ],
)
@pytest.mark.parametrize("classes", [(), ("a", "b")])
def test_weights_are_the_same_of_files_of_any_size(
  tmp_path, monkeypatch, large, settings, weights, classes
):
  monkeypatch.setattr(pairs_on_disk, "LARGE", 0 if large else 2**27)
  datasets.pairs_and_classes.cache_clear()
  rows = [("a", 2), ("a", 2), ("a", 0), ("b", 2)]
  source = source_of(tmp_path, rows, classes=classes, **settings)
  indices = np.arange(4)
  layout = source.layout(indices, batch_size=4, shares=1)
  batch = source.batch(indices, layout)
  found = batch[WEIGHTS].ravel()[np.argsort(batch["examples"].ravel())][-4:]
  assert found.tolist() == pytest.approx(weights)


@pytest.mark.parametrize(
  "rows, complaint",
  [
    ([("a", 0), ("b", 0)], "All 2 pairs of 'train' weigh 0: .*--weight"),
    ([("a", 1), ("a", 0), ("b", 0)], "that weigh more than 0 are 'a'"),
    ([("a", 1), ("b", "1e-60")], "that weigh more than 0 are 'a'"),
    ([("a", 1), ("b", -1)], "line 3: the weight '-1' is no number of 0 or"),
    ([("a", 1), ("b", "nan")], "line 3: the weight 'nan' is no number"),
  ],
)
def test_weights_that_teach_nothing_are_refused(tmp_path, rows, complaint):
  with pytest.raises(UserError, match=complaint):
    source_of(tmp_path, rows, weight="w")


def test_weights_of_zero_are_counted(tmp_path, caplog):
  rows = [("a", 1), ("b", 1), ("a", 0), ("c", 0)]
  source_of(tmp_path, rows, weight="w")
  told = "2 of 4 pairs of 'train' weigh 0 and teach nothing, among them all of "
  assert f"{told}['c']." in caplog.text


def test_scores_of_no_weight_are_refused(tmp_path):
  rows = [(0.5, 0), (1.5, 0)]
  with pytest.raises(UserError, match="All 2 pairs of 'train' weigh 0"):
    source_of(tmp_path, rows, weight="w", kind="regression")


def test_products_of_weights_have_a_limit(tmp_path):
  rows = [("a", "1e30"), ("b", "1e30")]
  with pytest.raises(UserError, match=r"pair \S+ of 'train' weighs 1e\+3[0-9]"):
    source_of(tmp_path, rows, weight="w", class_weights=("10", "10"))
