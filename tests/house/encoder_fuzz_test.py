"""Whatever is in the files of an encoder: it is read, or refused in a line."""

import contextlib
import copy
import importlib.util
import json
import os
import struct

import numpy as np
import pytest
import safetensors.numpy

from engine.errors import UserError
from tasks.encoders.bert.config import BertConfig
from tasks.encoders.sources import tensors
from tasks.tokens.tokenizer import PairTokenizer
from tasks.wordpiece import stated
from tests.tasks.encoders.bert.entry import SIZES
from tests.tasks.wordpiece.stated_test import PIECES, fast_of

pytestmark = pytest.mark.skipif(
  importlib.util.find_spec("hypothesis") is None,
  reason="hypothesis (extra [test]) is not installed",
)
FEW, MANY = 100, 5000
both = pytest.mark.parametrize(
  "rounds", [FEW, pytest.param(MANY, marks=pytest.mark.slow)]
)
CONFIG = {
  **SIZES,
  "vocab_size": len(PIECES),
  "model_type": "bert",
  "architectures": ["BertModel"],
}
SETTINGS = {
  "do_lower_case": True,
  "strip_accents": None,
  "tokenizer_class": "BertTokenizer",
  "cls_token": {"content": "[CLS]"},
  "added_tokens_decoder": {"2": {"content": "[CLS]", "special": True}},
  "additional_special_tokens": ["[E1]"],
}


def values():
  """Values of JSON that stand where others were."""
  from hypothesis import strategies as st

  leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(
      [0, -1, 2**31, 10**9, 10**30, 1e308, "", "a\nb", "x" * 999]
    ),
    st.floats(),
    st.text(max_size=5),
  )
  inner = lambda x: (
    st.lists(x, max_size=3)
    | st.dictionaries(st.text(max_size=5), x, max_size=3)
  )
  return st.recursive(leaves, inner, max_leaves=4)


def places(value, path=()):
  """Yields the path of each value in another."""
  yield path
  pairs = ()
  if isinstance(value, dict):
    pairs = value.items()
  elif isinstance(value, list):
    pairs = enumerate(value)
  for key, inner in pairs:
    yield from places(inner, (*path, key))


def changed(whole, path, value):
  """A copy with another value at a path."""
  if not path:
    return value
  result = copy.deepcopy(whole)
  inner = result
  for key in path[:-1]:
    inner = inner[key]
  inner[path[-1]] = value
  return result


@contextlib.contextmanager
def one_line():
  """What is in it ends well, or as a line that names a file and a cure."""
  try:
    yield
  except UserError as error:
    line = " ".join(str(error).split())
    assert len(line.replace(DIRECTORY, "")) <= 250, line
    assert DIRECTORY in line, line


DIRECTORY = ""


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
  monkeypatch.setitem(globals(), "DIRECTORY", str(tmp_path))
  (tmp_path / "vocab.txt").write_text("".join(f"{x}\n" for x in PIECES))
  return tmp_path


def try_each(content, write, read, rounds):
  """Changes a value of JSON, or the bytes of it; `rounds` times."""
  from hypothesis import HealthCheck, given, settings
  from hypothesis import strategies as st

  text = json.dumps(content).encode()

  @settings(
    max_examples=rounds,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
  )
  @given(st.data())
  def check(data):
    if data.draw(st.booleans()):
      path = data.draw(st.sampled_from([*places(content)]))
      made = json.dumps(changed(content, path, data.draw(values()))).encode()
    else:
      made = damaged(data, text)
    write(made)
    with one_line():
      read()

  check()


def damaged(data, content):
  """Bytes that are cut, or of which some are others."""
  from hypothesis import strategies as st

  place = data.draw(st.integers(0, len(content)))
  rest = content[place + data.draw(st.integers(0, 9)) :]
  if data.draw(st.booleans()):
    rest = b""
  return content[:place] + data.draw(st.binary(max_size=9)) + rest


def written(path):
  return lambda content: path.write_bytes(content)


@both
def test_a_config_is_of_a_bert_or_refused(directory, rounds):
  path = directory / "config.json"

  def read():
    config = BertConfig.read_stated(str(path), face=True)
    assert config.hidden_size % config.num_attention_heads == 0
    assert 1 <= config.num_hidden_layers <= 1024
    assert BertConfig.from_dict(config.to_dict()) == config

  try_each(CONFIG, written(path), read, rounds)


def read_tokenizer():
  spec = stated.read(DIRECTORY)
  ids = PairTokenizer(spec).encode(["Er möchte 东京"], ["a"], 16).ids
  assert ids.max() < len(spec.pieces)


@both
@pytest.mark.parametrize(
  "name", ["tokenizer_config", "special_tokens_map", "added_tokens"]
)
def test_the_settings_of_a_tokenizer_are_done_or_refused(
  directory, name, rounds
):
  path = directory / f"{name}.json"
  content = {"[CLS]": 2} if name == "added_tokens" else SETTINGS
  try_each(content, written(path), read_tokenizer, rounds)


@both
def test_a_tokenizer_json_is_done_or_refused(directory, rounds):
  (directory / "vocab.txt").unlink()
  path = directory / "tokenizer.json"
  try_each(fast_of(), written(path), read_tokenizer, rounds)


@both
def test_a_vocabulary_is_read_or_refused(directory, rounds):
  path = directory / "vocab.txt"
  try_each(path.read_text(), written(path), read_tokenizer, rounds)


@both
def test_safetensors_are_read_or_refused(directory, rounds):
  path = directory / "model.safetensors"
  arrays = {x: np.ones([2, 3], np.float32) for x in ("a", "b")}
  safetensors.numpy.save_file(arrays, path)
  content = path.read_bytes()
  size = struct.unpack("<Q", content[:8])[0]
  header = json.loads(content[8 : 8 + size])

  def write(made):
    path.write_bytes(struct.pack("<Q", len(made)) + made + content[8 + size :])

  def read():
    paths = tensors.files_of(str(directory))
    for name, array in tensors.read(paths, tensors.names_in(paths)):
      assert np.isfinite(tensors.as_weight(array, name, str(path))).all()

  try_each(header, write, read, rounds)


@both
def test_bytes_of_safetensors_are_read_or_refused(directory, rounds):
  from hypothesis import HealthCheck, given, settings
  from hypothesis import strategies as st

  path = directory / "model.safetensors"
  safetensors.numpy.save_file({"a": np.ones([2, 3], np.float32)}, path)
  content = path.read_bytes()

  @settings(
    max_examples=rounds,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
  )
  @given(st.data())
  def check(data):
    path.write_bytes(damaged(data, content))
    with one_line():
      for name, array in tensors.read([str(path)], ["a"]):
        tensors.as_weight(array, name, os.fspath(path))

  check()
