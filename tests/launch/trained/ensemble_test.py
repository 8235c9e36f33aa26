"""Means over orders and runs, and how good they are."""

import dataclasses
import json

import numpy as np
import pytest
import tf_keras

from engine.errors import UserError
from launch.command import configs
from launch.trained import ensemble
from launch.trained.restored import Restored
from tasks.config import SentencePairConfig
from tasks.sentence_pair import SentencePairTask

LINES = [("1", "a\tb c d"), ("2", "the old cat\ta dog")]


def run_of(directory="run", **settings):
  task = SentencePairTask(
    SentencePairConfig(
      **{
        "name": "pairs",
        "encoder": "tiny",
        "classes": ("no", "yes"),
        "max_seq_length": 32,
        **settings,
      }
    )
  )
  config = dataclasses.replace(configs.default_config(), task=task.config)
  return Restored(config, task, tf_keras.Model(), 0, "", directory)


def said(run, source):
  """Shares that depend on the order of a pair, and on the run."""
  first = source.encoded.first.astype(np.float64) + len(run.directory)
  share = first / (source.encoded.lengths + 10)
  return {"probabilities": np.stack([1 - share, share], -1)}


def test_runs_that_have_learned_from_other_columns_guess_them(tmp_path):
  runs = []
  for name in ("premise", "premise", "question1"):
    assets = tmp_path / str(len(runs))
    assets.mkdir()
    (assets / "columns.json").write_text(json.dumps({"text_a": name}))
    runs.append(dataclasses.replace(run_of(), assets=str(assets)))
  one, same, other = runs
  assert one.rows.text_a == "premise" and one.rows.text_b == "auto"
  assert ensemble.join([one, same], symmetric=False).rows == one.rows
  assert ensemble.join([one, other], symmetric=False).rows.text_a == "auto"


def test_both_orders_of_all_runs_are_averaged():
  one, other = run_of(), run_of("another")
  source = one.task.read_inputs(LINES)
  joined = ensemble.join([one, other], symmetric=True)
  found = ensemble.averaged(joined, source, said)["probabilities"]
  parts = [
    said(run, view)["probabilities"]
    for run in (one, other)
    for view in (source, source.swapped())
  ]
  np.testing.assert_allclose(found, np.mean(parts, axis=0))
  assert not np.allclose(parts[0], parts[1])
  # An ensemble of both orders does not depend on the order.
  swapped = ensemble.averaged(joined, source.swapped(), said)
  np.testing.assert_allclose(swapped["probabilities"], found)


def test_the_other_order_is_that_of_swapped_texts():
  task = run_of().task
  source = task.read_inputs(LINES)
  expected = task.read_inputs([("1", "b c d\ta"), ("2", "a dog\tthe old cat")])
  assert source.swapped().digest() == expected.digest()
  assert source.swapped().swapped().digest() == source.digest()


def test_single_sentences_have_no_other_order():
  run = run_of(text_b="")
  source = run.task.read_inputs([("1", "alone")])
  joined = ensemble.join([run], symmetric=True)
  with pytest.raises(UserError, match="needs two sentences"):
    ensemble.averaged(joined, source, said)


@pytest.mark.parametrize(
  ("settings", "what"),
  [
    ({"classes": ("yes", "no")}, "classes"),
    ({"classes": ("no", "maybe", "yes")}, "classes"),
    ({"kind": "regression", "classes": ()}, "classes"),
    ({"max_seq_length": 64}, "max_seq_length"),
    ({"text_b": ""}, "text_b"),
  ],
)
def test_runs_of_other_classes_or_tokens_are_refused(settings, what):
  with pytest.raises(UserError, match=f"/b has other .*'{what}'.* than /a"):
    ensemble.join([run_of("/a"), run_of("/b", **settings)], symmetric=False)


def test_what_has_no_mean_is_refused():
  run = run_of()
  joined = ensemble.join([run, run], symmetric=False)
  words = lambda run, source: {"word": np.array(["a", "b"])}
  with pytest.raises(UserError, match="'word' is not a number"):
    ensemble.averaged(joined, run.task.read_inputs(LINES), words)


def test_an_ensemble_has_metrics_with_intervals():
  task = run_of().task
  random = np.random.default_rng(0)
  shares = random.dirichlet([1, 1], size=60)
  labels = (shares[:, 1] + 0.3 * random.normal(size=60) > 0.5).astype(np.int32)
  found = ensemble.metrics_of(task, labels, {"probabilities": shares})
  called = shares.argmax(-1)
  assert found["accuracy"] == pytest.approx(np.mean(called == labels))
  of_label = shares[np.arange(60), labels]
  assert found["loss"] == pytest.approx(-np.mean(np.log(of_label)), rel=1e-4)
  low, high = found["intervals"]["accuracy"]
  assert low < found["accuracy"] < high
  assert {"f1", "loss", "mcc"} < {*found["intervals"]}
  scores = run_of(kind="regression", classes=()).task
  values = random.normal(size=60).astype(np.float32)
  found = ensemble.metrics_of(scores, values, {"score": values + 0.1})
  assert found["pearson"] == pytest.approx(1)
