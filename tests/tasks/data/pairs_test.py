"""Files of pairs through the doors: trained on, predicted, exported."""

import json

import numpy as np
import pytest
import tensorflow as tf

from launch.trained.predictions import predict
from launch.trained.restored import restore_run
from tasks.data.pairs import Pairs
from tests.support import doors

WORDS = ("red", "green", "blue", "old", "new", "tall", "short", "wet", "dry")


def train_on(directory, *flags):
  """Trains on train.tsv and dev.tsv of a directory."""
  return doors.enter(
    directory,
    "launch.train",
    "--task=pairs",
    f"--train_file={directory}/train.tsv",
    f"--eval_file={directory}/dev.tsv",
    "--encoder=tiny",
    f"--model_dir={directory}/run",
    *flags,
  )


def rows(count, label):
  """Pairs whose label is a function of their words."""
  draws = np.random.default_rng(count).integers(len(WORDS), size=[count, 2])
  return [
    [f"a {WORDS[i]} house", f"the {WORDS[j]} sky", label(i, j)]
    for i, j in draws
  ]


KINDS = {
  "three names": (
    lambda i, j: ("same", "before", "after")[(i < j) + 2 * (i > j)],
    ["--label=kind of"],
    "same",
  ),
  "a score": (
    lambda i, j: f"{400 - abs(i - j) * 5.25:.2f}",
    ["--label=kind of", "--kind=regression"],
    None,
  ),
  "one sentence": (
    lambda i, j: str(7 + i % 2),
    ["--label=kind of", "--text_b="],
    "8",
  ),
}


@pytest.fixture(scope="module", params=KINDS)
def run(request, tmp_path_factory):
  """Name of the kind, directory of a trained run, and the end of training."""
  directory = tmp_path_factory.mktemp("pairs")
  label, flags, _ = KINDS[request.param]
  for name, count in (("train", 64), ("dev", 20)):
    table = [["left", "right", "kind of"], *rows(count, label)]
    text = "".join("\t".join(row) + "\n" for row in table)
    (directory / f"{name}.tsv").write_text(text)
  if "--text_b=" not in flags:
    flags = [*flags, "--text_b=right"]
  ended = train_on(
    directory,
    "--text_a=left",
    *flags,
    "--train_steps=4",
    "--global_batch_size=16",
  )
  assert ended.status == 0, ended.err
  return request.param, directory, ended


def test_metrics_are_those_of_the_kind(run):
  kind, directory, ended = run
  found = json.loads((directory / "run/result.json").read_text())["eval"]
  assert found["examples_seen"] == 20
  if kind == "a score":
    assert {"pearson", "spearman", "mse"} <= {*found}
    assert found["mse"] == pytest.approx(found["loss"], rel=1e-5)
    assert "pearson" in ended.out
    # Four steps learn little, but where scores lie is known from the first on.
    lines = (directory / "dev.tsv").read_text().splitlines()[1:]
    scores = [float(line.split("\t")[2]) for line in lines]
    assert found["mse"] < 2 * np.var(scores)
  else:
    classes = 3 if kind == "three names" else 2
    assert np.shape(found["confusion"]) == (classes, classes)
    assert "accuracy" in ended.out


def test_predictions_need_the_directory_of_the_run_only(run):
  kind, directory, _ = run
  for name in ("train.tsv", "dev.tsv"):
    (directory / name).rename(directory / f"hidden {name}")
  try:
    lines = ["a red house\tthe old sky", "a wet house\tthe dry sky"]
    if kind == "one sentence":
      lines = [line.split("\t")[0] for line in lines]
    ended = doors.enter(
      directory,
      "launch.predict",
      f"--model_dir={directory}/run",
      stdin="\n".join(lines),
    )
  finally:
    for name in ("train.tsv", "dev.tsv"):
      (directory / f"hidden {name}").rename(directory / name)
  assert ended.status == 0, ended.err
  found = [line.split("\t") for line in ended.out.splitlines()]
  assert [line[-1] for line in found] == [x.split("\t")[-1] for x in lines]
  if kind == "a score":
    assert all(np.isfinite(float(line[0])) for line in found)
    return
  names = {"three names": ["after", "before", "same"], "one sentence": "78"}
  for line in found:
    shares = dict(cell.split("=") for cell in line[1 : 1 + len(names[kind])])
    assert list(shares) == list(names[kind])
    assert line[0] == max(shares, key=lambda name: float(shares[name]))


def test_an_export_says_what_the_run_says(run, tmp_path):
  kind, directory, _ = run
  table = rows(9, lambda i, j: "")
  texts_a, texts_b, _ = map(list, zip(*table, strict=True))
  if kind == "one sentence":
    texts_b = None
  pairs = Pairs(texts_a, texts_b, None, range(9))
  restored = restore_run(f"{directory}/run", precision="float32")
  task, classes = restored.task, restored.task.classes
  ours = predict(restored, task.pair_source(pairs))
  task.export(restored.model, "saved_model", str(tmp_path / "out"))
  raw_text = tf.saved_model.load(str(tmp_path / "out")).signatures["raw_text"]
  texts = {"text_a": tf.constant(texts_a)}
  if texts_b:
    texts["text_b"] = tf.constant(texts_b)
  found = raw_text(**texts)
  if kind == "a score":
    np.testing.assert_allclose(found["score"], ours["score"], rtol=1e-5)
    return
  ours = ours["probabilities"]
  np.testing.assert_allclose(found["probabilities"], ours, atol=1e-5)
  labels = [label.decode() for label in found["label"].numpy()]
  assert labels == [classes[i] for i in ours.argmax(-1)]


@pytest.mark.parametrize(
  "train, dev, flags, complaint",
  [
    ("yes no", "yes maybe", [], "line 3: the label 'maybe' is none of"),
    ("yes yes", "yes yes", [], "two classes or more"),
    ("yes no", "", [], "dev.tsv has no pair"),
    ("yes no", "no yes", ["--kind=regression"], "'yes' is no number"),
    ("0.5 1.25", "0.5 1.25", [], "add --kind=regression"),
    ("yes no", "no yes", ["--label=Label"], "columns ['text_a', 'text_b'"),
  ],
)
def test_what_does_not_go_together_is_said(
  tmp_path, train, dev, flags, complaint
):
  for name, labels in (("train", train), ("dev", dev)):
    lines = ["text_a\ttext_b\tlabel", *(f"x\ty\t{x}" for x in labels.split())]
    (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n")
  ended = train_on(
    tmp_path,
    *flags,
  )
  assert ended.status == 2, ended.err
  assert complaint in ended.err
  assert not (tmp_path / "run").exists()


def test_pairs_that_are_in_both_splits_are_counted(run):
  kind, directory, ended = run
  texts = 1 if kind == "one sentence" else 2
  train, dev = (
    [x.split("\t")[:texts] for x in path.read_text().splitlines()[1:]]
    for path in (directory / "train.tsv", directory / "dev.tsv")
  )
  common = sum(x in train for x in dev)
  assert common > 0
  assert f"{common} of the 20 pairs of 'dev' are in 'train' too" in ended.err
