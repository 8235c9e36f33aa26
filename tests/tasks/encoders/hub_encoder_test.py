"""TensorFlow Hub's encoders: imported where they are BERTs, else run."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from official.legacy.bert import configs as legacy
from official.nlp.tools import export_tfhub_lib

from engine.errors import UserError
from engine.loop.trainer import Trainer
from engine.randomness import Stream, step_key
from engine.run.experiment import Experiment
from launch.command import configs
from tasks.config import SentencePairConfig
from tasks.encoders import find as encoders
from tasks.encoders.sources import cache
from tasks.sentence_pair import SentencePairTask
from tests.support import doors
from tests.support.testing import acting_at, pairs_of, strategy_of, tiny_config

both_kinds = pytest.mark.parametrize(
  "kind", ["stranger", pytest.param("bert", marks=pytest.mark.slow)]
)
PAIRS = [("The rain in Spain.", "It rains."), ("Yes.", "No, not at all.")]


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield


def export(path):
  """A cased BERT by Model Garden's own export, with random weights."""
  vocabulary = encoders.find("tiny").vocabulary
  with open(vocabulary) as file:
    words = len(file.readlines())
  config = legacy.BertConfig(
    vocab_size=words,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=64,
    type_vocab_size=2,
    initializer_range=0.3,
  )
  _, model = export_tfhub_lib._create_model(bert_config=config, with_mlm=True)
  checkpoint = tf.train.Checkpoint(**model.checkpoint_items)
  export_tfhub_lib.export_model(
    str(path),
    bert_config=config,
    model_checkpoint_path=checkpoint.save(f"{path}.ckpt"),
    with_mlm=True,
    vocab_file=vocabulary,
    do_lower_case=False,
  )
  return str(path)


def save(path, call, variables, **parts):
  """A SavedModel as TensorFlow Hub wants it, around a function."""
  inputs = {
    name: tf.TensorSpec([None, None], tf.int32, name=name)
    for name in ("input_word_ids", "input_mask", "input_type_ids")
  }
  module = tf.train.Checkpoint(**parts)
  module.__call__ = tf.function(call)
  for training in (True, False):
    module.__call__.get_concrete_function(inputs, training=training)
  module.variables = module.trainable_variables = variables
  tf.saved_model.save(module, path)
  return path


def save_stranger(path):
  """An encoder that is no BERT: a bag of words.

  Where it trains it draws from a hidden generator, and one of its variables
  has no part in what it computes.
  """
  table = tf.random.stateless_normal([2000, 16], [0, 0])
  table = tf.Variable(table, name="word_embeddings")
  scale = tf.Variable(tf.ones([16]), name="layer_0/scale")
  unused = tf.Variable([1.0], name="unused")

  def call(inputs, training=False):
    words = tf.gather(table, inputs["input_word_ids"])
    words *= tf.cast(inputs["input_mask"], tf.float32)[:, :, None] * scale
    if training:
      words *= tf.random.uniform([])
    pooled = tf.tanh(tf.reduce_sum(words, 1))
    return {"pooled_output": pooled, "sequence_output": words}

  save(path, call, [table, scale, unused])
  shutil.copy(encoders.find("tiny").vocabulary, f"{path}/assets/vocab.txt")
  return path


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
  return export(tmp_path_factory.mktemp("hub") / "bert")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
  return save_stranger(str(tmp_path_factory.mktemp("hub") / "stranger"))


def task_of(encoder, **settings):
  settings = {"batching": "pad", "max_seq_length": 32, **settings}
  return SentencePairTask(SentencePairConfig(encoder=encoder, **settings))


def initialized(task):
  model = task.build_model()
  task.initialize(model, seed=0)
  return model


def features_of(task):
  source = task.pair_source(pairs_of(PAIRS))
  layout = source.layout(np.arange(2), batch_size=2, shares=1)
  return source.batch(np.arange(2), layout), layout


def dense(features):
  mask = (features["segments"][0] > 0).astype(np.int32)
  return {
    "input_word_ids": features["word_ids"].reshape(mask.shape) * mask,
    "input_mask": mask,
    "input_type_ids": features["type_ids"].reshape(mask.shape) * mask,
  }


def test_an_import_puts_out_what_the_saved_model_does(bert):
  task = task_of(bert)
  model = initialized(task)
  features, _ = features_of(task)
  sequence, pooled = model.encoder(features)
  inputs = dense(features)
  expected = tf.saved_model.load(bert)(
    {k: tf.constant(v) for k, v in inputs.items()}, training=False
  )
  real = inputs["input_mask"] > 0
  np.testing.assert_allclose(
    sequence.numpy().reshape(*real.shape, -1)[real],
    expected["sequence_output"].numpy()[real],
    atol=2e-5,
  )
  np.testing.assert_allclose(
    pooled[0], expected["pooled_output"].numpy(), atol=2e-5
  )
  assert np.ptp(pooled) > 0.1  # Not all alike.
  found = encoders.find(bert)
  assert found.config.num_attention_heads == 4
  assert not found.config.exact_gelu
  assert (
    task.pair_source(pairs_of(PAIRS))
    .layout(np.arange(2), batch_size=2, shares=1)
    .flops
  )


def test_casing_is_that_of_the_saved_model(bert):
  """Its vocabulary has no capitals, but it was exported as a cased one."""
  for name in (bert, f"hub:{bert}"):
    assert not encoders.find(name).tokenizer.lowercase


def test_what_is_no_bert_is_pointed_to_hub(stranger):
  with pytest.raises(UserError, match=f"--encoder=hub:{stranger} runs it"):
    encoders.find(stranger)


def test_what_only_looks_like_a_bert_is_refused(tmp_path, bert):
  """The same variables, but another computation."""
  model = tf.saved_model.load(bert)

  def call(inputs, training=False):
    outputs = model(inputs, training=training)
    return {"sequence_output": 1.1 * outputs["sequence_output"]}

  path = save(str(tmp_path / "liar"), call, model.variables, model=model)
  with pytest.raises(UserError, match=r"outputs are 0\.\d+ from a BERT's"):
    encoders.find(path)


def test_a_saved_model_without_a_vocabulary_is_refused(tmp_path):
  path = save_stranger(str(tmp_path / "stranger"))
  os.remove(f"{path}/assets/vocab.txt")
  with pytest.raises(UserError, match="put it there as assets/vocab.txt"):
    encoders.find(f"hub:{path}")


def test_a_damaged_saved_model_is_refused(tmp_path):
  path = save_stranger(str(tmp_path / "stranger"))
  with open(f"{path}/saved_model.pb", "wb") as file:
    file.write(b"no graph")
  for name in (path, f"hub:{path}"):
    with pytest.raises(UserError, match="cannot be loaded"):
      encoders.find(name)


def test_what_takes_other_inputs_is_refused(tmp_path):
  module = tf.train.Checkpoint(weight=tf.Variable([1.0]))
  module.__call__ = tf.function(
    lambda x: x * module.weight, input_signature=[tf.TensorSpec([None])]
  )
  path = str(tmp_path / "other")
  tf.saved_model.save(module, path)
  shutil.copy(encoders.find("tiny").vocabulary, f"{path}/assets/vocab.txt")
  with pytest.raises(UserError, match="is no trainable encoder of input_word"):
    encoders.find(f"hub:{path}")


@pytest.mark.parametrize("batching", ["pad", "bucket"])
@pytest.mark.parametrize("kind", ["bert", "stranger"])
def test_a_saved_model_runs_as_it_is(request, kind, batching):
  path = request.getfixturevalue(kind)
  task = task_of(f"hub:{path}", batching=batching)
  model = initialized(task)
  features, layout = features_of(task)
  inputs = {k: tf.constant(v) for k, v in dense(features).items()}
  pooled = tf.saved_model.load(path)(inputs, training=False)["pooled_output"]
  for random in (None, Stream(step_key(0, tf.constant(3, tf.int64)))):
    _, ours = model.encoder(features, random=random)
    np.testing.assert_allclose(ours[0], pooled.numpy(), atol=1e-6)
  assert model(features).shape == [1, 2, 2]
  assert (layout.flops, layout.executed_flops) == (0, 0)  # Not counted.


def test_what_is_trained_is_what_pooled_outputs_depend_on(bert, stranger):
  for path, count in ((bert, 39), (stranger, 2)):
    task = task_of(f"hub:{path}")
    model = initialized(task)
    features, _ = features_of(task)
    with tf.GradientTape() as tape:
      target = tf.reduce_sum(task.forward(model, features, None) ** 2)
    variables = model.trainable_variables
    assert len(variables) == count + 2  # And the head.
    assert all(g is not None for g in tape.gradient(target, variables))
  names = [v.name for v in model.non_trainable_variables]
  assert names == ["unused:0"]


def test_layers_are_counted_by_their_names(bert, stranger):
  task = task_of(f"hub:{bert}")
  depth = {v.name: task.layer_depth(v.name) for v in initialized(task).weights}
  assert depth["word_embeddings/embeddings:0"] == 3
  assert depth["transformer/layer_0/output/kernel:0"] == 2
  assert depth["transformer/layer_1/output/kernel:0"] == 1
  assert depth["pooler_transform/kernel:0"] == 0
  found = encoders.find(f"hub:{stranger}")
  assert (found.layers, found.vocabulary_size, found.positions) == (
    1,
    2000,
    None,
  )


def test_pack_is_refused_and_bucket_is_the_default(bert):
  chosen = {"task": {"encoder": f"hub:{bert}"}}
  config = configs.build_config([chosen])
  assert config.task.batching == "bucket"
  pack = {"task": {"batching": "pack"}}
  config = configs.build_config([chosen, pack])
  with pytest.raises(UserError, match="`batching` is 'pack', .* bucket or pad"):
    SentencePairTask(config.task)
  with pytest.raises(UserError, match="`max_seq_length` is 128, .* at most 64"):
    task_of(f"hub:{bert}", max_seq_length=128)


def train(directory, encoder, *, replicas=1):
  config = tiny_config(
    encoder=encoder,
    batching="bucket",
    max_seq_length=64,
    train={"train_steps": 6, "global_batch_size": 8},
    runtime={"steps_per_loop": 2},
  )
  return Experiment(
    config=config,
    task=SentencePairTask(config.task),
    model_dir=str(directory),
    strategy=strategy_of(replicas),
  ).run("train_and_eval")


@both_kinds
def test_a_killed_run_ends_with_the_same_weights(
  request, tmp_path, monkeypatch, kind
):
  encoder = f"hub:{request.getfixturevalue(kind)}"
  whole = train(tmp_path / "whole", encoder)

  def die():
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(Trainer, "train_loop_begin", acting_at(4, die))
    with pytest.raises(KeyboardInterrupt):
      train(tmp_path / "cut", encoder)
  cut = train(tmp_path / "cut", encoder)
  assert cut["restarts"] == 1
  assert cut["weights_sha256"] == whole["weights_sha256"]
  assert cut["eval"] == whole["eval"]


@both_kinds
def test_two_replicas_compute_what_one_does(request, tmp_path, kind):
  encoder = f"hub:{request.getfixturevalue(kind)}"
  one, two = (train(tmp_path / str(n), encoder, replicas=n) for n in (1, 2))
  np.testing.assert_allclose(
    one["eval"]["loss"], two["eval"]["loss"], rtol=1e-4
  )


def test_a_run_predicts_from_its_directory_alone(tmp_path):
  """Through the doors, with what it was made of gone."""
  path = save_stranger(str(tmp_path / "stranger"))
  ended = doors.enter(
    tmp_path,
    "launch.train",
    f"--encoder=hub:{path}",
    f"--model_dir={tmp_path / 'run'}",
    "--train_steps=2",
  )
  assert ended.status == 0, ended.err
  result = json.loads((tmp_path / "run" / "result.json").read_text())
  assert result["global_step"] == 2
  shutil.rmtree(path)
  shutil.rmtree(cache.cache_directory())
  ended = doors.enter(
    tmp_path,
    "launch.predict",
    f"--model_dir={tmp_path / 'run'}",
    stdin="a man eats\ta person is eating\n",
  )
  assert ended.status == 0, ended.err
  assert ended.out.startswith(("paraphrase\t", "different\t"))
