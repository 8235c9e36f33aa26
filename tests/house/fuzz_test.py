"""Whatever is read: it is what it must be, or refused in one line."""

import contextlib
import json

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import yaml
from hypothesis import strategies as st

from engine.config import ExperimentConfig
from engine.errors import UserError, one_line, quoted
from engine.settings import leaves
from launch.command import configs
from launch.jobs.encoding import Plan
from launch.jobs.seeds import parse_seeds
from tasks.data import record_files
from tasks.tokens.encoded import EncodedPairs
from tasks.tokens.records import read_records, serialize

FEW, MANY = 100, 2000
LENGTH, VOCABULARY = 8, 50
ODD = ["1e400", "٣", "../x", "a\0b", "9" * 5000, "x\x1b[31m", "\udcff", ".nan"]
SYNTAX = "{}[]&*!:#-?,.|>'\"% \n\tabc019=~<"

texts = st.text(max_size=60) | st.text(SYNTAX, max_size=60)
scalars = (
  st.none()
  | st.booleans()
  | st.integers()
  | st.integers(2**31 - 2, 2**65)
  | st.floats()
  | st.text(max_size=8)
  | st.sampled_from(ODD)
)
values = st.recursive(
  scalars,
  lambda below: (
    st.lists(below, max_size=3)
    | st.dictionaries(st.text(max_size=4), below, max_size=3)
  ),
  max_leaves=8,
)
names = st.sampled_from([name for name, *_ in leaves(configs.build_config([]))])
whole_numbers = st.integers(-3, 60) | st.integers(-(2**63), 2**63 - 1)
rounds = pytest.mark.parametrize(
  "rounds", [FEW, pytest.param(MANY, marks=pytest.mark.slow)]
)


def for_all(rounds, check, *strategies):
  """Calls `check` with what the strategies draw: the same values each time."""
  limits = hypothesis.settings(
    max_examples=rounds,
    deadline=None,
    database=None,
    derandomize=rounds < MANY,
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  limits(hypothesis.given(*strategies)(check))()


@rounds
def test_overrides_and_yaml_are_a_config_or_a_complaint(rounds, tmp_path):
  path = tmp_path / "c.yaml"

  def check(name, value, text, own):
    lines = [f"{name}={text}", f"{name}={json.dumps(value)}", text]
    for layer in [{**configs.nest(name, value)}, *lines, None]:
      with contextlib.suppress(UserError):
        if layer is None:
          path.write_bytes(own.encode("utf-8", "surrogatepass"))
          layer = configs.read_file(str(path))
        elif isinstance(layer, str):
          layer = configs.parse_overrides(layer)
        config = configs.build_config([layer])
        assert isinstance(config, ExperimentConfig)
        assert configs.from_dict(yaml.safe_load(dumped(config))) == config

  for_all(rounds, check, names, values, texts, texts)


def dumped(config):
  layers = [configs.nest(name, value) for name, value, _ in leaves(config)]
  return yaml.safe_dump(configs.merge({}, *layers))


@rounds
def test_seeds_are_numbers_or_a_complaint(rounds):
  def check(text):
    with contextlib.suppress(UserError):
      found = parse_seeds(text)
      assert 0 < len(set(found)) == len(found) <= 10_000

  for_all(rounds, check, st.text("0123456789-, x٣", max_size=30) | texts)


@rounds
def test_what_is_said_of_records_is_believed_or_refused(rounds, tmp_path):
  known = ["max_seq_length", "classes", "records", "sha256", "vocabulary"]
  path = tmp_path / record_files.META
  tables = st.dictionaries(st.sampled_from([*known, "tokenizer"]), values)

  def check(said, broken):
    for content in (said, {**said, "max_seq_length": 8}, broken):
      raw = content if isinstance(content, bytes) else json.dumps(content)
      path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
      with contextlib.suppress(UserError):
        meta = record_files.read_meta([str(tmp_path / "train-0.tfrecord")])
        assert 0 < meta["max_seq_length"] <= 2**16
        for facts in record_files.facts_of(meta).values():
          assert facts.records >= 0
        assert all(isinstance(x, str) for x in meta.get("classes", []))

  for_all(rounds, check, tables, values | st.binary(max_size=40))


@rounds
def test_an_encoding_is_continued_or_refused(rounds, tmp_path):
  facts = {"records": {"a": 1}, "classes": ["no", "yes"]}

  def check(content):
    raw = (
      content if isinstance(content, bytes) else json.dumps(content).encode()
    )
    (tmp_path / "encoding.json").write_bytes(raw)
    try:
      Plan([], facts).claim(str(tmp_path))
      assert {k: json.loads(raw)[k] for k in facts} == facts
    except UserError:
      assert raw != json.dumps(facts).encode()

  tables = st.fixed_dictionaries(
    {k: st.just(v) | values for k, v in facts.items()}
  )
  for_all(rounds, check, tables | values | st.binary(max_size=40))


@pytest.mark.parametrize(
  "rounds", [25, pytest.param(MANY, marks=pytest.mark.slow)]
)
def test_records_are_pairs_or_damaged(rounds, tmp_path):
  path = str(tmp_path / "train-0.tfrecord")
  encoded = EncodedPairs.of([[2, 7, 3, 9, 3], [2, 8, 3, 3]], [3, 3], 0)
  good = serialize(encoded, [1, 0], [0, 1], weights=[1.0, 0.5], length=LENGTH)
  features = ["input_ids", "input_mask", "segment_ids", "label_ids"]
  edit = st.tuples(
    st.sampled_from([*features, "example_id"]),
    st.integers(0, LENGTH - 1),
    whole_numbers,
  )

  def check(edits, weight, flip):
    example = tf.train.Example.FromString(good[0])
    feature = example.features.feature
    for name, place, value in edits:
      numbers = feature[name].int64_list.value
      numbers[place % len(numbers)] = value
    feature["weight"].float_list.value[0] = weight
    record_files.write_records(path, [example.SerializeToString(), good[1]])
    if flip is not None:
      with open(path, "r+b") as file:
        raw = bytearray(file.read())
        raw[flip % len(raw)] ^= 1 << flip % 8
        file.seek(0)
        file.write(raw)
    with contextlib.suppress(UserError):
      found = read_records(
        [path], length=LENGTH, vocabulary=VOCABULARY, facts={}
      )
      pairs = found.encoded
      assert len(pairs) == len(found.ids) == len(found.labels) == 2
      assert pairs.ids.min() >= 0 and pairs.ids.max() < VOCABULARY
      assert (pairs.lengths > 0).all() and (pairs.first > 0).all()
      assert (pairs.first <= pairs.lengths).all()
      assert (found.labels >= -1).all() and np.isfinite(found.weights).all()
      again = serialize(
        pairs,
        found.labels.tolist(),
        found.ids.tolist(),
        weights=found.weights.tolist(),
        length=LENGTH,
      )
      first = tf.train.Example.FromString(again[0]).features.feature
      for name in features:
        ours, theirs = (x[name].int64_list.value for x in (first, feature))
        masked = [
          k or name != "input_ids"
          for k in feature["input_mask"].int64_list.value
        ][: len(theirs)]
        assert [x * k for x, k in zip(ours, masked, strict=True)] == [
          x * k for x, k in zip(theirs, masked, strict=True)
        ]

  flips = st.none() | st.integers(0, 10_000)
  for_all(rounds, check, st.lists(edit, max_size=2), st.floats(width=32), flips)


@rounds
def test_a_complaint_is_one_printable_line_whose_end_is_kept(rounds):
  def check(value, text):
    shown = quoted(value)
    assert len(shown) <= 60
    line = one_line(f"`x` is {shown} {text * 20}, but must be y: do z.")
    assert len(line) <= 300
    assert line.isprintable()
    assert line.startswith("`x` is ") and line.endswith("y: do z.")

  for_all(rounds, check, values | st.integers(10**5000), st.text())
