"""Classes and scores: losses, metrics, weights."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from engine.errors import UserError
from engine.settings import differences, identity
from engine.task import LABELS, WEIGHTS
from tasks.answers import Classes, Score
from tasks.data.datasets import answers_of
from tests.support.testing import (
  pairs_of,
  tiny_config,
  tiny_task,
)

LABELS_OF_FOUR = np.array([0, 2, 1, 2])
OUTPUTS = np.random.default_rng(0).normal(size=[4, 3]).astype(np.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_is_that_of_keras(smoothing):
  answers = Classes(("a", "b", "c"), smoothing=smoothing)
  keras = tf_keras.losses.CategoricalCrossentropy(
    from_logits=True, label_smoothing=smoothing, reduction="none"
  )
  theirs = keras(tf.one_hot(LABELS_OF_FOUR, 3), OUTPUTS)
  ours = answers.loss(tf.constant(LABELS_OF_FOUR), tf.constant(OUTPUTS))
  np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_many_classes_have_macro_f1():
  found = Classes("abc").metrics(LABELS_OF_FOUR, OUTPUTS)
  assert np.sum(found["confusion"]) == 4
  assert found["majority"] == 0.5
  perfect = Classes("abc").metrics(LABELS_OF_FOUR, np.eye(3)[LABELS_OF_FOUR])
  assert (perfect["accuracy"], perfect["f1"]) == (1.0, 1.0)


def test_scores_are_correlated():
  labels = np.array([0.0, 1.0, 2.5, 5.0], np.float32)
  answers = Score()
  found = answers.metrics(labels, (2 * labels + 1)[:, None])
  assert found["pearson"] == pytest.approx(1)
  assert found["spearman"] == pytest.approx(1)
  assert found["mse"] == pytest.approx(np.mean((labels + 1) ** 2))
  flat = answers.metrics(labels, np.ones([4, 1]))
  assert (flat["pearson"], flat["spearman"]) == (0, 0)
  losses = answers.loss(tf.constant(labels), tf.constant(labels[:, None] + 2))
  assert np.allclose(losses, 4)


def test_f1_speaks_of_the_class_that_is_named_beside_it():
  labels = np.array([0, 0, 0, 1])
  outputs = np.eye(2)[[0, 0, 1, 1]]  # One of three is called the other.
  found = {
    positive: Classes(("no", "yes"), positive=positive).metrics(labels, outputs)
    for positive in ("", "no", "yes")
  }
  assert found[""] == found["yes"]
  assert (found["no"]["positive"], found["yes"]["positive"]) == ("no", "yes")
  assert found["no"]["f1"] == pytest.approx(2 * 2 / (2 * 2 + 1))
  assert found["yes"]["f1"] == pytest.approx(2 * 1 / (2 * 1 + 1))
  assert found["no"]["pr_auc"] > found["yes"]["pr_auc"]
  assert found["no"]["confusion"] == found["yes"]["confusion"]
  assert "positive" not in Classes("abc").metrics(LABELS_OF_FOUR, OUTPUTS)


def test_an_evaluation_may_name_another_class_than_the_run():
  run, other = (
    tiny_config(name="mrpc", positive=x) for x in ("", "not_equivalent")
  )
  assert differences(identity(run), other) == {}
  labels, outputs = np.array([0, 1, 1, 1]), np.eye(2)[[0, 0, 1, 1]]
  one, two = (answers_of(x.task).metrics(labels, outputs) for x in (run, other))
  assert (one["positive"], two["positive"]) == ("equivalent", "not_equivalent")
  assert (one["f1"], two["f1"]) == (4 / 5, 2 / 3)
  assert one["confusion"] == two["confusion"]


def test_a_run_keeps_to_the_classes_that_it_was_begun_with(tmp_path):
  """Files whose labels are others would give its numbers other meanings."""

  def task_of(labels, **settings):
    lines = ["text_a\ttext_b\tlabel", *(f"x\ty\t{x}" for x in labels)]
    (tmp_path / "t.tsv").write_text("\n".join(lines))
    path = f"{tmp_path}/t.tsv"
    return tiny_task(name="pairs", train_file=path, **settings)

  (tmp_path / "assets").mkdir()
  assets = str(tmp_path / "assets")
  for _ in range(2):
    task_of(["b", "c"]).check_assets(assets)
    task_of(["b", "c"]).save_assets(assets)
  with pytest.raises(UserError, match=r"\['b', 'c'\], but .*\['a', 'b'\] now"):
    task_of(["a", "b"]).check_assets(assets)
  renamed = task_of(["a", "b"], classes=("a", "b"))  # A change that is asked.
  renamed.check_assets(assets)


@pytest.mark.parametrize("names, positive", [("ab", "c"), ("abc", "a")])
def test_f1_of_a_class_that_cannot_be_is_refused(names, positive):
  with pytest.raises(UserError, match=f"`positive` is '{positive}', but must"):
    Classes(names, positive=positive)


def test_labels_in_records_are_checked_and_counted():
  with pytest.raises(UserError, match="x.* 2, the first is pair 1 with -1"):
    Classes("ab").check(np.array([0, -1, 2]), "x")
  Classes("ab").check(np.array([0, 1]), "x")
  for score in (np.nan, 7.0):
    with pytest.raises(UserError, match="no score: 1, the first is pair 0"):
      Score((0.0, 5.0)).check(np.array([score, 1.0]), "x")
  assert np.isnan(Score().unknown) and Classes("ab").unknown == -1


@pytest.mark.parametrize("label", ["-1", "5.5", "1e400"])
def test_a_score_beyond_its_limits_is_refused(label):
  with pytest.raises(UserError, match="x, line 2: .* is not from 0 to 5"):
    Score((0.0, 5.0)).number(label, "x, line 2")
  assert Score((0.0, 5.0)).number("5.000", "") == 5.0
  assert Score().number("-1", "") == -1.0


@pytest.mark.parametrize("label", ["yes", "nan", "inf", "", "1_0", "0x1"])
def test_what_is_no_number_is_no_score(label):
  assert Score().number("3.25", "") == 3.25
  with pytest.raises(UserError, match="x, line 9.*drop --kind=regression"):
    Score().number(label, "x, line 9")


def weights_of(tmp_path, lines, **settings):
  """The weights of the training split of a file of texts."""
  (tmp_path / "t.tsv").write_text("\n".join(lines) + "\n")
  task = tiny_task(
    name="pairs", train_file=f"{tmp_path}/t.tsv", batching="pad", **settings
  )
  source = task.source("train")
  indices = np.arange(len(source))
  layout = source.layout(indices, batch_size=len(source), shares=1)
  batch = source.batch(indices, layout)
  order = np.argsort(batch["examples"][0])
  assert batch[LABELS].dtype == task.answers.dtype
  return batch[WEIGHTS][0][order].tolist()


FOUR = ["text_a\ttext_b\tlabel\tw", *(f"x\ty\t{c}\t2" for c in "aaab")]


@pytest.mark.parametrize("classes", [(), ("a", "b")])
def test_one_class_is_nothing_to_learn(tmp_path, caplog, classes):
  with pytest.raises(UserError, match="two classes or more"):
    weights_of(tmp_path, FOUR[:3], classes=classes)
  task = tiny_task(
    name="pairs", eval_file=f"{tmp_path}/t.tsv", classes=("b", "a")
  )
  assert len(task.source("dev")) == 2
  assert "'dev' has 0 b, 2 a." in caplog.text
  assert "All pairs of 'dev' are 'a'" in caplog.text


def test_the_area_under_precision_and_recall_is_that_of_the_second_class():
  labels = np.array([0, 1, 0, 1])
  margins = np.array([0.0, 1.0, 2.0, 3.0])
  outputs = np.stack([-margins / 2, margins / 2], axis=1)
  found = Classes(("a", "b")).metrics(labels, outputs)
  # Ranked 1, 0, 1, 0: precision 1 at the first hit, 2/3 at the second.
  assert found["pr_auc"] == pytest.approx((1 + 2 / 3) / 2)


def test_weights_are_for_training(tmp_path):
  (tmp_path / "t.tsv").write_text("\n".join(FOUR))
  task = tiny_task(
    name="pairs",
    train_file=f"{tmp_path}/t.tsv",
    eval_file=f"{tmp_path}/t.tsv",
    weight="w",
    class_weights=("1", "3"),
  )
  assert set(task.source("dev")._weights) == {1.0}


@pytest.mark.parametrize(
  "settings, complaint",
  [
    ({"class_weights": ("1",)}, r"a weight for each of the 2 classes"),
    ({"class_weights": ("1", "2", "3")}, r"a weight for each of the 2"),
    ({"class_weights": ("1", "x")}, "balanced, or a number above 0"),
    ({"label_smoothing": 1.0}, "at least 0 and below 1"),
    ({"weight": "weight"}, "'weight'.*columns"),
    ({"kind": "regression"}, "line 2: the label 'a' is no number"),
  ],
)
def test_weights_that_cannot_be_are_refused(tmp_path, settings, complaint):
  with pytest.raises(UserError, match=complaint):
    weights_of(tmp_path, FOUR, **settings)


def test_a_score_where_classes_are_expected_is_said(tmp_path):
  lines = ["text_a\ttext_b\tlabel", "x\ty\t1.0", "x\ty\t3.25"]
  with pytest.raises(UserError, match="line 3: .*'3.25'.*--kind=regression"):
    weights_of(tmp_path, lines)


def test_one_sentence_alone(tmp_path):
  (tmp_path / "t.tsv").write_text("text\tlabel\nthe old man\ta\nsat\tb\n")
  task = tiny_task(
    name="pairs", train_file=f"{tmp_path}/t.tsv", text_a="text", text_b=""
  )
  source = task.source("train")
  pair = task.pair_source(pairs_of([("the old man", "sat"), ("sat", "x")]))
  length = source.encoded.lengths[0]
  assert np.array_equal(source.encoded.ids[:length], pair.encoded.ids[:length])
  assert source.encoded.first[0] == length
  dense = source.encoded.dense()
  assert not dense["input_type_ids"].any()
