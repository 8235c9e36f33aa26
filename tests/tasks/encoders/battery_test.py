"""What holds of each family of encoders: a new one adds an entry, no test.

Weights arrive whole; outputs and gradients are the original's, however pairs
lie in a batch; what is drawn follows from seeds and names; a run that is
stopped goes on as it would have; its directory has all that predictions and
exports need.
"""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from engine.errors import UserError
from engine.loop.boundary import Boundary
from engine.randomness import Stream, step_key
from engine.step.precision import precision_scope
from launch.trained.predictions import predict
from launch.trained.restored import restore_run
from tasks.encoders import find as encoders
from tasks.encoders.face.family import KINDS
from tasks.encoders.sources.saved_models import library
from tasks.wordpiece.tokenizer import SETTINGS
from tests.support.testing import (
  REFERENCE_PAIRS,
  ROOT,
  acting_at,
  pairs_of,
)
from tests.tasks.encoders.bert.entry import BERT
from tests.tasks.encoders.entry import (
  batch_of,
  initialized,
  target,
  task_of,
  train,
)
from tests.tasks.encoders.families import ENTRIES as FAMILIES
from tests.tasks.encoders.hub.entry import HUB_BERT, STRANGER

ENTRIES = (
  BERT,
  *(pytest.param(x, marks=pytest.mark.slow) for x in FAMILIES),
  STRANGER,
  pytest.param(HUB_BERT, marks=pytest.mark.slow),
)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield


@pytest.fixture(scope="module", params=ENTRIES, ids=lambda x: x.name)
def entry(request):
  return request.param


@pytest.fixture(scope="module")
def encoder(entry, tmp_path_factory):
  """What `--encoder` calls a small encoder of the family."""
  return entry.make(str(tmp_path_factory.mktemp("made")))


@pytest.fixture(scope="module")
def built(entry, encoder):
  """A model with first weights, a batch of padded rows, and the original."""
  task = task_of(encoder)
  batch = batch_of(task)
  return SimpleNamespace(
    task=task,
    model=initialized(task, seed=1),
    batch=batch,
    original=entry.original(encoder, batch.dense),
  )


def test_each_family_has_an_entry_and_a_row_on_its_page():
  """A new family is held to all of this, or this says that it is not."""
  kinds = {x for each in encoders.FAMILIES for x in getattr(each, "kinds", ())}
  assert {*KINDS} == {"bert", *kinds}
  assert kinds == {x.name.removesuffix("-cls") for x in FAMILIES}
  with open(os.path.join(ROOT, "docs", "encoders.md")) as file:
    rows = [line for line in file if line.startswith("| `")]
  assert all(any(f"`{kind}`" in row for row in rows) for kind in KINDS)


def counterparts(variable, values):
  """Which values are those of a variable: (index, how they become it)."""
  ways = (
    lambda x: np.reshape(x, variable.shape),
    lambda x: np.reshape(x.T, variable.shape),
  )
  found = []
  for i, value in enumerate(values):
    if value.size == variable.shape.num_elements():
      fits = [x for x in ways if np.array_equal(x(value), variable.numpy())]
      found += [(i, way) for way in fits[:1]]  # One row reads both ways.
  return found


def test_each_variable_has_a_value_and_each_value_is_used(built):
  found = [
    counterparts(variable, built.original.values)
    for variable in built.model.encoder.variables
    if variable.dtype.is_floating  # Others are no weights: "do_lower_case".
  ]
  assert all(len(each) == 1 for each in found)
  used = sorted(i for ((i, _),) in found)
  assert used == list(range(len(built.original.values)))


def test_outputs_are_those_of_the_original(built):
  sequence, pooled = built.model.encoder(built.batch.tokens)
  expected = built.original
  np.testing.assert_allclose(pooled[0], expected.pooled, atol=1e-5)
  assert np.ptp(expected.pooled) > 0.1  # Not all alike.
  assert (sequence is None) == (expected.sequence is None)
  if sequence is not None:
    real = built.batch.dense["input_mask"] > 0
    sequence = sequence.numpy().reshape(expected.sequence.shape)
    np.testing.assert_allclose(
      sequence[real], expected.sequence[real], atol=1e-5
    )


def test_bfloat16_stays_near_the_original(encoder, built):
  """Padded and packed, on average within 3 % of how far outputs spread."""
  packs = encoders.find(encoder).packs
  for batching in ("pad", "pack") if packs else ("pad",):
    with precision_scope("bfloat16"):
      task = task_of(encoder, batching=batching)
      model = initialized(task, seed=1)
    batch = batch_of(task)
    _, pooled = model.encoder(batch.tokens, pooled_only=True)
    there = batch.weights > 0
    found = tf.cast(pooled, tf.float32).numpy()[there]
    expected = built.original.pooled[batch.examples[there]]
    error = np.abs(found - expected).mean() / expected.std()
    assert error < 0.03
    assert error > 1e-3 or not packs  # A SavedModel computes as it does.


def test_gradients_are_those_of_the_original(built):
  encoder = built.model.encoder
  variables = encoder.trainable_variables
  with tf.GradientTape() as tape:
    value = target(encoder(built.batch.tokens, pooled_only=True)[1])
  trained = set()
  for variable, ours in zip(
    variables, tape.gradient(value, variables), strict=True
  ):
    ((i, way),) = counterparts(variable, built.original.values)
    theirs = way(built.original.gradients[i])
    scale = np.abs(theirs).max()
    assert scale > 0 or variable.name.endswith("key/bias:0")
    np.testing.assert_allclose(
      tf.convert_to_tensor(ours), theirs, atol=1e-4 * max(scale, 1e-2)
    )
    trained.add(i)
  rest = set(range(len(built.original.values))) - trained
  assert all(built.original.gradients[i] is None for i in rest)


@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_layouts_and_shares_do_not_change_training(encoder, rate):
  """Loss and gradients of one batch, dropout on and off: 1e-5.

  The longest pair fills its row; with dropout the draws are those of the
  tokens, wherever they lie.
  """
  ways = [("pad", 1), ("bucket", 2), ("pad", 4)]
  if encoders.find(encoder).packs:
    ways = [("pad", 1), ("pack", 2), ("pad", 4), ("bucket", 2), ("pack", 1)]
  if not rate:
    ways = ways[:2]

  def trained(batching, shares, step=7):
    task = task_of(encoder, batching=batching, dropout=rate, max_seq_length=48)
    model, batch = initialized(task), batch_of(task, shares=shares)
    kernel = model.head.kernel
    kernel.assign(tf.random.stateless_normal(kernel.shape, [0, 0]))
    random = Stream(step_key(0, tf.constant(step, tf.int64)))
    with tf.GradientTape() as tape:
      logits = task.forward(model, batch.features, random)
      losses = task.loss(batch.labels, logits)
      loss = tf.reduce_sum(batch.weights * losses) / len(REFERENCE_PAIRS)
    gradients = tape.gradient(loss, model.trainable_variables)
    return [loss, *map(tf.convert_to_tensor, gradients)]

  first = trained(*ways[0])
  assert tf.linalg.global_norm(first[1:]) > 0.1
  for way in ways[1:]:
    for one, other in zip(first, trained(*way), strict=True):
      np.testing.assert_allclose(other, one, atol=1e-5, err_msg=str(way))
  another = trained(*ways[0], step=8)
  assert (first[0] == another[0]) == (rate == 0.0)


def test_first_weights_are_the_files_and_a_function_of_the_seed(built):
  first = built.model.get_weights()
  again, other = (
    initialized(built.task, seed).get_weights() for seed in (1, 2)
  )
  names = [variable.name for variable in built.model.weights]
  for name, a, b, c in zip(names, first, again, other, strict=True):
    np.testing.assert_array_equal(a, b)
    assert np.array_equal(a, c) != (name == built.model.head.kernel.name), name


def test_depths_fall_from_the_embeddings_to_the_head(encoder, built):
  names = [variable.name for variable in built.model.trainable_variables]
  depths = [built.task.layer_depth(name) for name in names]
  assert depths == sorted(depths, reverse=True)
  assert set(depths) == set(range(encoders.find(encoder).layers + 2))
  assert "embedding" in names[0] and "head" in names[-1]
  for name in names:
    assert (built.task.layer_depth(name) == depths[0]) == ("embedding" in name)


@pytest.fixture(scope="module")
def run(encoder, tmp_path_factory):
  """Directory of a run, and what it reported."""
  directory = tmp_path_factory.mktemp("run")
  return directory, train(directory, encoder)


def test_a_killed_run_ends_with_the_same_weights(
  encoder, run, tmp_path, monkeypatch
):
  _, whole = run

  def die():
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(Boundary, "check", acting_at(1, die))
    with pytest.raises(KeyboardInterrupt):
      train(tmp_path, encoder)
  cut = train(tmp_path, encoder)
  assert cut["restarts"] == 1
  assert cut["weights_sha256"] == whole["weights_sha256"]


@pytest.fixture(scope="module")
def learned(encoder, run, tmp_path_factory):
  """What a run has learned and what it says, by its directory alone."""
  directory, made = str(run[0]), encoder.removeprefix("hub:")
  os.rename(made, f"{made}.gone")
  try:
    with pytest.MonkeyPatch.context() as patch:
      patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("no_cache")))
      restored = restore_run(directory, precision="float32")
      source = restored.task.pair_source(pairs_of(REFERENCE_PAIRS))
      return restored, predict(restored, source)["probabilities"]
  finally:
    os.rename(f"{made}.gone", made)


def of_saved_model(path, dense, restored, head):
  """It takes any number of rows of any length."""
  import tensorflow_text  # Registers ops of the other signature.

  assert tensorflow_text
  read = tf.saved_model.load(path).signatures["serving_default"]
  found = read(**{name: tf.constant(x) for name, x in dense.items()})
  assert np.array_equal(found["label"], found["logits"].numpy().argmax(-1))
  lengths = dense["input_mask"].sum(-1)
  for i in (lengths.argmin(), lengths.argmax()):
    n = lengths[i]
    row = {name: tf.constant(x[i : i + 1, :n]) for name, x in dense.items()}
    np.testing.assert_allclose(
      read(**row)["probabilities"][0], found["probabilities"][i], atol=1e-5
    )
  return found["probabilities"]


def of_tflite(path, dense, restored, head):
  try:
    from ai_edge_litert.interpreter import Interpreter
  except ImportError:  # TensorFlow still brings the same one.
    from tensorflow.lite import Interpreter
  files = encoders.find(restored.assets)
  spelt = os.path.basename(files.tokenizer.source)
  beside = {spelt, SETTINGS, os.path.basename(files.config_path)}
  assert set(os.listdir(path)) == {"model.tflite", "labels.txt", *beside}
  interpreter = Interpreter(model_path=os.path.join(path, "model.tflite"))
  read = interpreter.get_signature_runner()
  found = read(**dense)["probabilities"]
  fewer = read(**{name: x[:2] for name, x in dense.items()})
  np.testing.assert_allclose(fewer["probabilities"], found[:2], atol=1e-6)
  return found


def of_hub(path, dense, restored, head):
  outputs = library().KerasLayer(path)(dense)
  assert np.array_equal(outputs["default"], outputs["pooled_output"])
  return read_out(outputs["pooled_output"], restored)


def of_huggingface(path, dense, restored, head):
  """Given back to `--encoder`; the head has the names that it must have."""
  tensors = safetensors.numpy.load_file(f"{path}/model.safetensors")
  for name, value in zip(head, restored.model.readout(), strict=True):
    np.testing.assert_array_equal(tensors[name].T, value)
  task = task_of(path)
  _, pooled = initialized(task).encoder(batch_of(task).tokens)
  return read_out(pooled[0], restored)


def read_out(pooled, restored):
  kernel, bias = restored.model.readout()
  return tf.nn.softmax(tf.matmul(pooled, kernel) + bias)


@pytest.mark.parametrize(
  "of", [of_saved_model, of_tflite, of_hub, of_huggingface]
)
def test_what_is_exported_says_what_the_run_says(entry, learned, tmp_path, of):
  restored, shares = learned
  form, path = of.__name__.removeprefix("of_"), str(tmp_path / "exported")
  if entry.head is None:
    with pytest.raises(UserError, match="can be exported"):
      restored.task.export(restored.model, form, path)
    assert not os.path.exists(path)
    return
  restored.task.export(restored.model, form, path)
  dense = batch_of(task_of(restored.assets)).dense
  found = of(path, dense, restored, entry.head)
  np.testing.assert_allclose(found, shares, atol=1e-5)
