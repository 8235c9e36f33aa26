"""What a directory of Hugging Face's layout must be; outputs, however laid."""

import json
import logging
import os

import numpy as np
import pytest
import safetensors.numpy

from engine.errors import UserError
from tasks.encoders import find as encoders
from tests.support import families
from tests.tasks.encoders.entry import batch_of, initialized, task_of


def written(tmp_path, name="roberta", **changes):
  """A family's directory, with settings of its config changed."""
  path = families.write(name, str(tmp_path / name))
  config = f"{path}/config.json"
  with open(config) as file:
    values = {**json.load(file), **changes}
  with open(config, "w") as file:
    json.dump(values, file)
  return path


def weights_of(path):
  return safetensors.numpy.load_file(f"{path}/model.safetensors")


def save(tensors, path, name="model.safetensors"):
  safetensors.numpy.save_file(tensors, os.path.join(path, name))


def in_shards(path, count=3):
  """The weights of a directory in shards, and the names of these."""
  tensors = weights_of(path)
  os.remove(f"{path}/model.safetensors")
  names = [f"model-{i}-of-{count}.safetensors" for i in range(count)]
  places = {key: names[i % count] for i, key in enumerate(tensors)}
  for shard in names:
    save({k: v for k, v in tensors.items() if places[k] == shard}, path, shard)
  with open(f"{path}/model.safetensors.index.json", "w") as file:
    json.dump({"weight_map": places}, file)
  return names


@pytest.mark.parametrize("name", families.FAMILIES)
def test_64_pairs_of_mixed_lengths_have_the_originals_outputs(tmp_path, name):
  """Padded and packed: the pooled outputs within 1e-5 of Transformers'."""
  path, known = families.write(name, str(tmp_path)), families.stored(name)
  for batching in ("pad", "pack"):
    task = task_of(path, batching=batching)
    batch = batch_of(task, families.texts_of_many())
    if batching == "pad":
      np.testing.assert_array_equal(
        batch.dense["input_word_ids"], known["many_ids"]
      )
    _, pooled = initialized(task).encoder(batch.tokens, pooled_only=True)
    order = batch.examples[batch.weights > 0]
    found = np.asarray(pooled).reshape([-1, pooled.shape[-1]])
    found = found[np.flatnonzero(batch.weights > 0)]
    np.testing.assert_allclose(found, known["many_pooled"][order], atol=1e-5)


@pytest.mark.parametrize(
  "changes, complaint",
  [
    ({"model_type": "deberta-v2"}, "`model_type` .*'deberta-v2'.*electra.*mpn"),
    (
      {"architectures": ["BertModel"]},
      "`architectures` .*'BertModel'.*, and `model_type` .*contradict",
    ),
    (
      {"model_type": None, "architectures": ["BertModel", "MPNetModel"]},
      "`model_type` None, which contradict each other",
    ),
    ({"architectures": ["JinaModel"]}, "'JinaModel'.*what can be read is bert"),
    ({"auto_map": {"AutoModel": "x.Y"}}, "`auto_map`"),
    ({"hidden_size": 17}, "a divisor of the hidden size, 17"),
    ({"hidden_size": "16"}, "`hidden_size` .*'16', but must be an integer"),
    ({"hidden_act": "silu"}, "`hidden_act` .*'silu', but must be one of gelu"),
    ({"position_embedding_type": "relative_key"}, "`position_embedding_type`"),
    ({"is_decoder": True}, "`is_decoder`"),
    ({"pad_token_id": 130}, "must be more than 131"),
    ({"num_hidden_layers": 1}, "holds 16 weights that .*layer.1.attention"),
    ({"num_hidden_layers": 3}, "no weight `encoder.layer.2.attention.self.que"),
    ({"intermediate_size": 25}, "layer.0.intermediate.dense.weight` .*24, 16"),
    ({"vocab_size": 399}, "word_embeddings.weight` .*399"),
  ],
)
def test_a_config_that_cannot_be_is_refused_by_name(
  tmp_path, changes, complaint
):
  path = written(tmp_path, **changes)
  with pytest.raises(UserError, match=complaint) as caught:
    encoders.find(path)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  "changes, complaint",
  [
    ({"layer_types": ["full_attention"]}, "`layer_types`.*3 of sliding"),
    ({"classifier_pooling": "max"}, "`classifier_pooling`.*one of cls, mean"),
    (
      {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}},
      "`rope_type`",
    ),
    ({"norm_bias": 1}, "`norm_bias` .* must be true or false"),
  ],
)
def test_a_modernbert_of_another_kind_is_refused(tmp_path, changes, complaint):
  path = written(tmp_path, "modernbert", **changes)
  with pytest.raises(UserError, match=complaint):
    encoders.find(path)


def test_old_configs_of_modernbert_say_the_same(tmp_path):
  new = encoders.find(written(tmp_path / "new", "modernbert"))
  path = written(
    tmp_path / "old",
    "modernbert",
    layer_types=None,
    rope_parameters=None,
    global_attn_every_n_layers=3,
    global_rope_theta=160000.0,
    local_rope_theta=10000.0,
  )
  assert encoders.find(path).shape == new.shape
  assert new.shape.reaches == (0, 4, 4)


def test_a_directory_without_a_tokenizer_is_refused(tmp_path):
  path = written(tmp_path)
  os.remove(f"{path}/tokenizer.json")
  with pytest.raises(UserError, match="no vocabulary"):
    encoders.find(path)
  with open(f"{path}/vocab.json", "w") as file:
    file.write("{}")
  with pytest.raises(UserError, match="in vocab.json alone.*save_pretrained"):
    encoders.find(path)


def test_a_tokenizer_of_another_kind_is_refused(tmp_path):
  path = written(tmp_path)
  with open(f"{path}/tokenizer.json") as file:
    values = json.load(file)
  with open(f"{path}/tokenizer.json", "w") as file:
    json.dump({**values, "model": {"type": "WordLevel", "vocab": {}}}, file)
  with pytest.raises(UserError, match="WordLevel, .*WordPiece or BPE or Unig"):
    encoders.find(path)


def test_a_tokenizer_of_another_size_is_refused(tmp_path):
  path = written(tmp_path, vocab_size=300)
  tensors = weights_of(path)
  name = "roberta.embeddings.word_embeddings.weight"
  save({**tensors, name: tensors[name][:300]}, path)
  with pytest.raises(UserError, match="has 400 pieces, but the encoder only"):
    task_of(path)


def test_shards_are_read_and_a_missing_one_is_named(tmp_path):
  path = written(tmp_path)
  whole = initialized(task_of(path)).get_weights()
  shards = in_shards(path)
  for a, b in zip(whole, initialized(task_of(path)).get_weights(), strict=True):
    np.testing.assert_array_equal(a, b)
  os.remove(os.path.join(path, shards[1]))
  with pytest.raises(UserError, match=shards[1]):
    encoders.find(path)
  os.remove(f"{path}/model.safetensors.index.json")
  with pytest.raises(UserError, match=f"{shards[0]} .*no model.safetensors.in"):
    encoders.find(path)


def test_half_precision_is_read_and_said(tmp_path, caplog):
  path = written(tmp_path)
  save({k: v.astype(np.float16) for k, v in weights_of(path).items()}, path)
  with caplog.at_level(logging.WARNING):
    model = initialized(task_of(path))
  assert "are of 16 bits: read as float32" in caplog.text
  assert all(np.isfinite(value).all() for value in model.get_weights())


@pytest.mark.parametrize(
  "name, complaint",
  [
    ("roberta.encoder.layer.1.output.dense.bias", "no weight `encoder.layer.1"),
    ("classifier.dense.bias", "no weight `classifier.dense.bias`"),
  ],
)
def test_a_weight_that_is_missing_is_named(tmp_path, name, complaint):
  path = written(tmp_path)
  tensors = weights_of(path)
  del tensors[name]
  save(tensors, path)
  with pytest.raises(UserError, match=complaint):
    encoders.find(path)


def test_weights_without_a_head_begin_with_a_random_pooler(tmp_path, caplog):
  path = written(tmp_path)
  tensors = {
    key.removeprefix("roberta."): value
    for key, value in weights_of(path).items()
    if key.startswith("roberta.")
  }
  save({**tensors, "lm_head.bias": np.ones([3], np.float32)}, path)
  with caplog.at_level(logging.WARNING):
    one, two = (initialized(task_of(path), seed) for seed in (0, 1))
  assert "have no pooler: it begins at random" in caplog.text
  assert "1 are of no part of the encoder and left out: lm_head" in caplog.text
  pooler = one.encoder.pooler.kernel.numpy()
  assert not np.array_equal(pooler, two.encoder.pooler.kernel)


def test_a_value_that_is_no_number_is_refused(tmp_path):
  path = written(tmp_path)
  tensors = weights_of(path)
  tensors["roberta.encoder.layer.0.output.dense.bias"][3] = np.nan
  save(tensors, path)
  with pytest.raises(UserError, match="layer.0.output.dense.bias.*not finite"):
    initialized(task_of(path))


def test_what_cannot_be_frozen_is_refused_before_data_is_read(tmp_path):
  path = written(tmp_path)
  with pytest.raises(UserError, match="`freeze` .*all 2 blocks.*leave"):
    task_of(path, freeze="embeddings,0-1")


def test_positions_that_are_too_few_are_refused(tmp_path):
  path = written(tmp_path)
  assert encoders.find(path).positions == 128
  with pytest.raises(UserError, match="`max_seq_length`.*at most 128"):
    task_of(path, max_seq_length=129)


def test_weights_of_pytorch_alone_get_the_way_to_convert_them(tmp_path):
  path = written(tmp_path)
  os.rename(f"{path}/model.safetensors", f"{path}/pytorch_model.bin")
  with pytest.raises(UserError, match="pytorch_model.bin, which is not read"):
    encoders.find(path)
