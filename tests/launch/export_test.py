"""What is exported says what the run says, in a process of its own."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from launch.trained.predictions import predict
from launch.trained.restored import restore_run
from tasks.encoders.bert import garden
from tests.support import doors
from tests.support.testing import (
  REFERENCE_PAIRS,
  pairs_of,
)

TEXTS = [
  *REFERENCE_PAIRS,
  ("STRASSE Straße naïve Café", "İstanbul ΣΊΣΥΦΟΣ"),
  ("[SEP] is not [CLS] an end", "中文 and tab\there"),
  ("word " * 90, "other words " * 50),
  ("x" * 101, "x" * 100),
  ("the\u00a0rain in\u3000Spain", "it\u2009rains\u202fon\u2028the plain"),
  ("the rain in Spain", "it rains on the plain"),
]
FRESH = """
import json, sys
import tensorflow as tf
import tensorflow_text
model = tf.saved_model.load(sys.argv[1])
pairs = json.load(open(sys.argv[2]))
a, b = (tf.constant(list(texts)) for texts in zip(*pairs))
found = model.signatures["raw_text"](text_a=a, text_b=b)
one = model.signatures["raw_text"](text_a=a[:1], text_b=b[:1])
assert not any(name.split(".")[0] in ("engine", "tasks", "official")
               for name in sys.modules)
json.dump({
  "labels": [label.decode() for label in found["label"].numpy().tolist()],
  "probabilities": found["probabilities"].numpy().tolist(),
  "one": one["probabilities"].numpy().tolist(),
  "assets": [x.asset_path.numpy().decode() for x in model.assets],
}, open(sys.argv[3], "w"))
"""


@pytest.fixture(scope="module")
def run(trained):
  """Directory of a run of a few steps."""
  return str(trained[0])


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
  """Format -> directory of its export, each written by the door."""
  parent = tmp_path_factory.mktemp("exports")
  forms = ("saved_model", "hub", "huggingface")
  started = {
    form: doors.Door(
      tmp_path_factory.mktemp(form),
      "launch.export",
      f"--model_dir={run}",
      f"--export_dir={parent}/{form}",
      f"--format={form}",
    )
    for form in forms
  }
  for form, door in started.items():
    ended = door.end()
    assert ended.status == 0, (form, ended.err)
    assert ended.out.startswith(f"{form} of step 4 in {parent}/{form}: ")
  assert sorted(os.listdir(parent)) == sorted(forms)  # And nothing half.
  return {form: f"{parent}/{form}" for form in forms}


@pytest.fixture(scope="module")
def expected(run):
  """Classes and probabilities, as launch.predict has them."""
  restored = restore_run(run)
  source = restored.task.pair_source(pairs_of(TEXTS))
  shares = predict(restored, source)["probabilities"]
  return list(restored.task.classes), shares


def dense_of(run, length=None):
  restored = restore_run(run)
  return restored.task.pair_source(pairs_of(TEXTS)).encoded.dense(length)


def test_a_server_without_our_code_reads_raw_text(exported, expected, tmp_path):
  classes, shares = expected
  with open(tmp_path / "pairs.json", "w") as file:
    json.dump(TEXTS, file)
  paths = [str(tmp_path / name) for name in ("pairs.json", "told.json")]
  subprocess.run(
    [sys.executable, "-c", FRESH, exported["saved_model"], *paths],
    check=True,
    cwd=tmp_path,
  )
  with open(paths[1]) as file:
    told = json.load(file)
  np.testing.assert_allclose(told["probabilities"], shares, atol=1e-5)
  np.testing.assert_allclose(told["one"], shares[:1], atol=1e-5)
  np.testing.assert_allclose(*told["probabilities"][-2:], atol=1e-6)
  assert told["labels"] == [classes[i] for i in shares.argmax(-1)]
  names = [os.path.basename(path) for path in told["assets"]]
  tokenizer = ["vocab.txt", "tokenizer_config.json"]
  assert names == [*tokenizer, "labels.txt", "bert_config.json"]
  files = os.listdir(os.path.join(exported["saved_model"], "assets"))
  assert set(files) == set(names)


def test_a_hub_encoder_is_trained_on_and_given_back_to_encoder(exported, run):
  from tasks.encoders import find as encoders
  from tasks.encoders.sources.saved_models import library

  layer = library().KerasLayer(exported["hub"], trainable=True)
  model = restore_run(run).model
  dense = {k: tf.constant(v) for k, v in dense_of(run).items()}
  with tf.GradientTape() as tape:
    outputs = layer(dense)
    target = tf.reduce_sum(outputs["pooled_output"])
  assert len(layer.trainable_weights) == len(model.encoder.trainable_weights)
  gradients = tape.gradient(target, layer.trainable_weights)
  assert all(gradient is not None for gradient in gradients)
  mine = garden.copy_of(model.encoder)(dense)
  for name in ("pooled_output", "sequence_output"):
    np.testing.assert_allclose(outputs[name], mine[name], atol=1e-6)
  assert np.array_equal(outputs["default"], outputs["pooled_output"])
  files = encoders.find(exported["hub"])
  # With weights as small as tiny's both GELUs compute the same.
  found = dataclasses.replace(files.config, hidden_act="gelu")
  assert found == model.encoder.config
  assert files.tokenizer == restore_run(run).task.tokenizer


@pytest.mark.skipif(
  not all(map(importlib.util.find_spec, ("transformers", "torch"))),
  reason="transformers or torch (extra [peers]) is not installed",
)
def test_transformers_computes_the_same(exported, expected):
  import torch
  import transformers

  path = exported["huggingface"]
  tokenizer = transformers.AutoTokenizer.from_pretrained(path)
  model = transformers.AutoModelForSequenceClassification.from_pretrained(path)
  a, b = (list(texts) for texts in zip(*TEXTS, strict=True))
  batch = tokenizer(a, b, truncation=True, padding=True, return_tensors="pt")
  with torch.no_grad():
    logits = model.eval()(**batch).logits
  shares = torch.softmax(logits, -1).numpy()
  np.testing.assert_allclose(shares, expected[1], atol=1e-5)
  assert list(model.config.id2label.values()) == expected[0]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--export_dir={tmp}/new"], "`model_dir` is not given"),
    (["--model_dir={run}"], "`export_dir` is not given"),
    (["--model_dir={run}", "--export_dir={run}"], "exists: name a new"),
    (["--model_dir={run}", "--export_dir=/none/x"], "cannot be written"),
    (["--model_dir={tmp}", "--export_dir={tmp}/new"], "holds no run"),
    (["--model_dir={empty}", "--export_dir={tmp}/new"], "no checkpoint"),
  ],
)
def test_export_refuses_in_one_line(run, tmp_path, arguments, message):
  empty = tmp_path / "empty"
  empty.mkdir()
  for name in ("config.yaml", "assets"):
    os.symlink(os.path.join(run, name), empty / name)
  places = {"run": run, "tmp": str(tmp_path), "empty": str(empty)}
  before = sorted(os.listdir(tmp_path))
  ended = doors.enter(
    tmp_path, "launch.export", *(x.format(**places) for x in arguments)
  )
  assert ended.status == 2
  assert message in ended.err
  assert len(ended.err.strip().splitlines()) == 1
  after = [x for x in os.listdir(tmp_path) if not x.startswith("door.")]
  assert sorted(after) == before
