"""What is exported says what the run says, in a process of its own."""

import csv
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
from tasks.export import garden
from tasks.export.graph_tokenizer import GraphTokenizer
from tasks.tokens.tokenizer import PairTokenizer
from tests.support import doors
from tests.support.testing import (
  REFERENCE_PAIRS,
  SHARED,
  needs_shared_data,
  pairs_of,
)

TEXTS = [
  *REFERENCE_PAIRS,
  ("STRASSE Straße naïve Café", "İstanbul ΣΊΣΥΦΟΣ"),
  ("[SEP] is not [CLS] an end", "中文 and tab\there"),
  ("word " * 90, "other words " * 50),
  ("x" * 101, "x" * 100),
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
def run(tmp_path_factory):
  """Directory of a run of a few steps."""
  directory = tmp_path_factory.mktemp("run")
  ended = doors.enter(
    directory,
    "launch.train",
    "--encoder=tiny",
    "--train_steps=4",
    "--quiet",
    f"--model_dir={directory}/run",
  )
  assert ended.status == 0, ended.err
  return f"{directory}/run"


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
  """Format -> directory of its export, each written by the door."""
  parent = tmp_path_factory.mktemp("exports")
  forms = ("saved_model", "hub", "huggingface", "tflite")
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
  assert told["labels"] == [classes[i] for i in shares.argmax(-1)]
  names = [os.path.basename(path) for path in told["assets"]]
  assert names == ["labels.txt", "bert_config.json"]
  files = os.listdir(os.path.join(exported["saved_model"], "assets"))
  assert set(files) == {*names, "vocab.txt"}


def test_a_saved_model_reads_encoded_pairs_of_any_number_and_length(
  exported, expected, run
):
  import tensorflow_text  # Registers ops that the other signature needs.

  assert tensorflow_text
  model = tf.saved_model.load(exported["saved_model"])
  read = model.signatures["serving_default"]
  for count, length in ((len(TEXTS), None), (3, 128), (1, 128)):
    dense = dense_of(run, length)
    found = read(**{k: tf.constant(v[:count]) for k, v in dense.items()})
    np.testing.assert_allclose(
      found["probabilities"], expected[1][:count], atol=1e-5
    )
    assert np.array_equal(found["label"], found["logits"].numpy().argmax(-1))


def test_a_hub_encoder_is_trained_on_and_given_back_to_encoder(exported, run):
  from tasks.encoders import find as encoders
  from tasks.encoders.hub import library

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
  assert PairTokenizer(files.vocabulary).lowercase


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
  plain = [pair for pair in TEXTS if "[SEP]" not in pair[0]]
  keep = [pair in plain for pair in TEXTS]
  a, b = (list(texts) for texts in zip(*plain, strict=True))
  batch = tokenizer(a, b, truncation=True, padding=True, return_tensors="pt")
  with torch.no_grad():
    logits = model.eval()(**batch).logits
  shares = torch.softmax(logits, -1).numpy()
  np.testing.assert_allclose(shares, expected[1][keep], atol=1e-5)
  assert list(model.config.id2label.values()) == expected[0]


def test_litert_computes_the_same(exported, expected, run):
  try:
    from ai_edge_litert.interpreter import Interpreter
  except ImportError:  # TensorFlow still brings the same one.
    from tensorflow.lite import Interpreter
  path = os.path.join(exported["tflite"], "model.tflite")
  runner = Interpreter(model_path=path).get_signature_runner()
  dense = dense_of(run, 128)
  for rows in (len(TEXTS), 2):
    found = runner(**{k: v[:rows] for k, v in dense.items()})
    np.testing.assert_allclose(
      found["probabilities"], expected[1][:rows], atol=1e-5
    )
  files = {"labels.txt", "vocab.txt", "bert_config.json", "model.tflite"}
  assert set(os.listdir(exported["tflite"])) == files


@needs_shared_data
def test_tokens_in_a_graph_are_those_of_training(run):
  vocabulary = os.path.join(restore_run(run).assets, "vocab.txt")
  check_tokens(vocabulary, lowercase=True, texts=shared_sentences()[::7])


@needs_shared_data
@pytest.mark.slow
def test_tokens_in_a_graph_are_those_of_training_on_all_data():
  from tasks.encoders import find as encoders

  vocabulary = encoders.find("demo").vocabulary
  check_tokens(vocabulary, lowercase=True, texts=shared_sentences())


def test_tokens_in_a_graph_keep_case_where_training_does(tmp_path):
  pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "Éa", "##b", "ea", "##B", "e"]
  path = tmp_path / "vocab.txt"
  path.write_text("\n".join(pieces) + "\n")
  check_tokens(str(path), lowercase=False, texts=["Éab ea eaB", "É éa E", "e"])


def check_tokens(vocabulary, *, lowercase, texts):
  """Both tokenizers agree on pairs of neighbours, short and cut."""
  trained = PairTokenizer(vocabulary)
  assert trained.lowercase == lowercase
  others = [text for pair in TEXTS for text in pair]
  texts = [*texts, *others]
  a, b = texts, texts[1:] + texts[:1]
  for length in (128, 9):
    served = GraphTokenizer(vocabulary, lowercase=lowercase, max_length=length)
    mine = trained.encode(a, b, length).dense()
    found = served(tf.constant(a), tf.constant(b))
    for name, array in mine.items():
      assert np.array_equal(found[name], array), name


def shared_sentences():
  path = os.path.join(SHARED, "data", "mrpc", "msr_paraphrase_train.txt")
  with open(path, encoding="utf-8-sig", newline="") as file:
    rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
  texts = [text for row in rows[1:] for text in row[3:5]]
  path = os.path.join(SHARED, "data", "rte", "train.tsv")
  with open(path, encoding="utf-8", newline="") as file:
    rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
  return texts + [text for row in rows[1:] for text in row[1:3]]


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
