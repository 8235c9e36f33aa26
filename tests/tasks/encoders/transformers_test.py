"""What Transformers makes of our exports, and we of what it writes.

It is one of the extra peers: where it is not installed, the stored outputs
alone stand for it.
"""

import os

import numpy as np
import pytest
import tensorflow as tf

from tests.support import families
from tests.tasks.encoders.entry import batch_of, initialized, task_of

pytestmark = pytest.mark.slow
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

# None is cut: of equally long sentences Transformers cuts the other one.
SHORT = [("Yes.", "No."), *(x for x in families.texts_of_many()[:12])]


def logits_of(path):
  """What Transformers says of the pairs; tokenizer included."""
  tokenizer = transformers.AutoTokenizer.from_pretrained(path)
  make = transformers.AutoModelForSequenceClassification.from_pretrained
  model, how = make(path, output_loading_info=True)
  assert not how["missing_keys"] and not how["unexpected_keys"], how
  encoded = tokenizer(
    *(list(texts) for texts in zip(*SHORT, strict=True)),
    padding=True,
    return_tensors="pt",
  )
  with torch.no_grad():
    return model.eval()(**encoded).logits.numpy()


def made(name, tmp_path):
  """What `--encoder` calls a small encoder of a family."""
  if name == "tiny":
    return name
  return families.write(name, str(tmp_path / "made"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["tiny", *families.FAMILIES])
def test_an_export_has_equal_logits_there(name, tmp_path):
  encoder = made(name, tmp_path)
  task = task_of(encoder, max_seq_length=128)
  model = initialized(task)
  kernel = model.head.kernel
  kernel.assign(tf.random.stateless_normal(kernel.shape, [0, 0]))
  task.export(model, "huggingface", str(tmp_path / "exported"))
  ours = task.forward(model, batch_of(task, SHORT).features, None)[0]
  theirs = logits_of(str(tmp_path / "exported"))
  np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)
  assert np.ptp(theirs) > 0.1


@pytest.mark.parametrize("name", ["tiny", *families.FAMILIES])
@pytest.mark.parametrize("batching", ["pad", "pack"])
def test_each_token_of_many_pairs_is_equal_there(name, batching, tmp_path):
  encoder = made(name, tmp_path)
  task = task_of(encoder, batching=batching, max_seq_length=128)
  model = initialized(task)
  path = encoder
  if name == "tiny":
    path = str(tmp_path / "exported")
    task.export(model, "huggingface", path)
  texts = [("Yes.", "No."), *families.texts_of_many()]
  encoded = transformers.AutoTokenizer.from_pretrained(path)(
    *(list(x) for x in zip(*texts, strict=True)),
    padding=True,
    return_tensors="pt",
  )
  with torch.no_grad():
    there = transformers.AutoModel.from_pretrained(path).eval()(**encoded)
  mask = encoded["attention_mask"].numpy() > 0
  expected = {
    tuple(ids[real]): values[real]
    for ids, values, real in zip(
      encoded["input_ids"].numpy(),
      there.last_hidden_state.numpy(),
      mask,
      strict=True,
    )
  }
  tokens = batch_of(task, texts).tokens
  sequence = model.encoder(tokens)[0].numpy()
  (rows,), (segments,) = tokens["rows"], tokens["segments"]
  assert (len(rows) < len(texts)) == (batching == "pack")
  found = {}
  for row, segment in zip(rows, segments, strict=True):
    for i in {*segment[segment > 0]}:
      places = row[segment == i]
      found[tuple(tokens["word_ids"][0][places])] = sequence[0][places]
  assert len(found) > families.MANY * 0.9  # Few are equal.
  for ids, values in expected.items():
    np.testing.assert_allclose(found[ids], values, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", families.FAMILIES)
def test_what_it_writes_in_half_and_in_shards_is_read(name, tmp_path):
  path = families.write(name, str(tmp_path / "made"))
  make = transformers.AutoModelForSequenceClassification.from_pretrained
  model = make(path).bfloat16()
  written = str(tmp_path / "written")
  model.save_pretrained(written, max_shard_size="20KB")
  transformers.AutoTokenizer.from_pretrained(path).save_pretrained(written)
  assert os.path.exists(f"{written}/model.safetensors.index.json")
  one, two = (initialized(task_of(x)).encoder for x in (path, written))
  for a, b in zip(one.weights, two.weights, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3)
