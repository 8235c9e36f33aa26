"""A SavedModel is imported where it is a BERT, else it runs as it is."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from engine.errors import UserError
from engine.randomness import Stream, step_key
from launch.command import configs
from tasks.encoders import find as encoders
from tasks.encoders.sources.saved_models import library
from tasks.sentence_pair import SentencePairTask
from tests.tasks.encoders.entry import batch_of, initialized, task_of, train
from tests.tasks.encoders.hub.entry import export_bert, save, save_stranger

both_kinds = pytest.mark.parametrize(
  "kind", ["stranger", pytest.param("bert", marks=pytest.mark.slow)]
)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
  return export_bert(tmp_path_factory.mktemp("hub") / "bert")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
  return save_stranger(str(tmp_path_factory.mktemp("hub") / "stranger"))


def test_an_import_puts_out_what_the_saved_model_does(bert):
  task = task_of(bert)
  model, batch = initialized(task), batch_of(task)
  sequence, pooled = model.encoder(batch.tokens)
  expected = tf.saved_model.load(bert)(
    {k: tf.constant(v) for k, v in batch.dense.items()}, training=False
  )
  real = batch.dense["input_mask"] > 0
  np.testing.assert_allclose(
    sequence.numpy().reshape(*real.shape, -1)[real],
    expected["sequence_output"].numpy()[real],
    atol=2e-5,
  )
  np.testing.assert_allclose(
    pooled[0], expected["pooled_output"].numpy(), atol=2e-5
  )
  assert np.ptp(pooled) > 0.1  # Not all alike.
  assert batch.layout.flops > 0
  found = encoders.find(bert)
  assert found.config.num_attention_heads == 4
  assert found.config.activation == "gelu_new"


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


@pytest.fixture(scope="module")
def built(bert, stranger):
  """Path -> a task, and a model with first weights."""
  tasks = {path: task_of(f"hub:{path}") for path in (bert, stranger)}
  return {path: (task, initialized(task)) for path, task in tasks.items()}


def test_it_runs_as_for_inference_in_training_too(built):
  """Its own dropout would draw from a hidden generator."""
  for path, (task, model) in built.items():
    batch = batch_of(task)
    inputs = {k: tf.constant(v) for k, v in batch.dense.items()}
    outputs = tf.saved_model.load(path)(inputs, training=False)
    for random in (None, Stream(step_key(0, tf.constant(3, tf.int64)))):
      _, pooled = model.encoder(batch.tokens, random=random)
      np.testing.assert_allclose(pooled[0], outputs["pooled_output"], atol=1e-6)
    # Not counted.
    assert (batch.layout.flops, batch.layout.executed_flops) == (0, 0)


def test_what_is_trained_is_what_pooled_outputs_depend_on(
  built, bert, stranger
):
  for path, count in ((bert, 39), (stranger, 2)):
    task, model = built[path]
    with tf.GradientTape() as tape:
      outputs = task.forward(model, batch_of(task).features, None)
      value = tf.reduce_sum(outputs**2)
    variables = model.trainable_variables
    assert len(variables) == count + 2  # And the head.
    assert all(g is not None for g in tape.gradient(value, variables))
  names = [v.name for v in model.non_trainable_variables]
  assert names == ["unused:0"]


def test_layers_are_counted_by_their_names(built, bert, stranger):
  task, model = built[bert]
  depth = {v.name: task.layer_depth(v.name) for v in model.weights}
  assert depth["word_embeddings/embeddings:0"] == 3
  assert depth["transformer/layer_0/output/kernel:0"] == 2
  assert depth["transformer/layer_1/output/kernel:0"] == 1
  assert depth["pooler_transform/kernel:0"] == 0
  found = encoders.find(f"hub:{stranger}")
  assert (found.layers, found.vocabulary_size) == (1, 2000)
  assert found.positions is None


def test_what_was_fetched_stays_as_it_was(tmp_path, monkeypatch):
  path = save_stranger(str(tmp_path / "fetched"))
  monkeypatch.setattr(library(), "resolve", lambda _: path)
  first, again = (encoders.find("hub:https://x/1").directory for _ in "12")
  assert first == again
  with open(f"{path}/assets/vocab.txt", "r+") as file:
    file.truncate(100)
  with pytest.raises(UserError, match=r"vocab\.txt is not as it was written"):
    encoders.find("hub:https://x/1")


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


def test_a_saved_model_that_is_cut_off_is_refused(tmp_path):
  path = save_stranger(str(tmp_path / "stranger"))
  (data,) = (tmp_path / "stranger" / "variables").glob("*.data*")
  data.write_bytes(data.read_bytes()[:-1])
  for name in (path, f"hub:{path}"):
    with pytest.raises(UserError, match="cannot be loaded"):
      encoders.find(name)
  data.unlink()
  os.mkfifo(data)
  with pytest.raises(UserError, match=f"{data.name} is no regular file"):
    encoders.find(path)


def test_a_saved_model_whose_weights_are_no_numbers_is_refused(tmp_path):
  table = tf.Variable(tf.fill([2000, 4], float("nan")), name="word_embeddings")

  def call(inputs, training=False):
    words = tf.gather(table, inputs["input_word_ids"])
    return {"pooled_output": tf.reduce_sum(words, 1), "sequence_output": words}

  path = save(str(tmp_path / "nan"), call, [table])
  shutil.copy(
    encoders.find("tiny").tokenizer.source, f"{path}/assets/vocab.txt"
  )
  with pytest.raises(UserError, match="not finite in 8000 of its 8000 places"):
    encoders.find(f"hub:{path}")


def test_what_takes_other_inputs_is_refused(tmp_path):
  module = tf.train.Checkpoint(weight=tf.Variable([1.0]))
  module.__call__ = tf.function(
    lambda x: x * module.weight, input_signature=[tf.TensorSpec([None])]
  )
  path = str(tmp_path / "other")
  tf.saved_model.save(module, path)
  shutil.copy(
    encoders.find("tiny").tokenizer.source, f"{path}/assets/vocab.txt"
  )
  with pytest.raises(UserError, match="is no trainable encoder of input_word"):
    encoders.find(f"hub:{path}")


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


@both_kinds
def test_two_replicas_compute_what_one_does(request, tmp_path, kind):
  encoder = f"hub:{request.getfixturevalue(kind)}"
  one, two = (
    train(
      tmp_path / str(n),
      encoder,
      mode="train_and_eval",
      batching="bucket",
      replicas=n,
    )
    for n in (1, 2)
  )
  np.testing.assert_allclose(
    one["eval"]["loss"], two["eval"]["loss"], rtol=1e-4
  )
