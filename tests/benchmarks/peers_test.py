"""The contenders train the same encoder, and the verdict is in the figures."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from benchmarks.contenders import apsis, contest, given, keras_fit
from benchmarks.contenders.plan import Plan
from benchmarks.harness import record
from engine.errors import UserError
from tasks.config import SentencePairConfig
from tests.support.doors import enter
from tests.support.families import write
from tests.support.testing import REFERENCE, needs_demo_encoder

PLAN = Plan(
  setting="padded float32",
  task="demo",
  data_dir="",
  encoder="demo",
  source="",
  learning_rate=1e-4,
  splits="",
  steps=6,
  steps_per_window=2,
  seed=0,
  evaluations=0,
)
needs_torch = pytest.mark.skipif(
  importlib.util.find_spec("transformers") is None
  or importlib.util.find_spec("torch") is None,
  reason="the extra `peers` is not installed",
)


def reference():
  """The first pair of the stored outputs, padded; and its pooled output."""
  stored = np.load(REFERENCE)
  ids = np.zeros([1, 128], np.int32)
  mask, types = ids.copy(), ids.copy()
  length = len(stored["ids_0"])
  ids[0, :length], mask[0, :length] = stored["ids_0"], 1
  types[0, :length] = stored["types_0"]
  return ids, mask, types, stored["pooled_0"]


@needs_demo_encoder
def test_model_gardens_contenders_have_the_same_encoder():
  """Up to their GELU, which is the approximation."""
  ids, mask, types, pooled = reference()
  classifier = keras_fit.build(PLAN)
  (encoder,) = (layer for layer in classifier.layers if "encoder" in layer.name)
  found = encoder(
    {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types}
  )
  np.testing.assert_allclose(
    found["pooled_output"].numpy()[0], pooled, atol=0.02
  )
  assert np.ptp(pooled) > 0.3


@needs_demo_encoder
@needs_torch
def test_hugging_faces_contender_has_the_same_encoder():
  import torch
  import transformers

  ids, mask, types, pooled = reference()
  model = transformers.BertModel.from_pretrained(given.source_of("demo"))
  model.eval()
  arrays = (torch.tensor(x, dtype=torch.long) for x in (ids, mask, types))
  with torch.no_grad():
    names = ("input_ids", "attention_mask", "token_type_ids")
    found = model(**dict(zip(names, arrays, strict=True)))
  np.testing.assert_allclose(found.pooler_output[0], pooled, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("evaluations", [0, 2])
def test_apsis_is_run_through_its_door(evaluations):
  plan = dataclasses.replace(
    PLAN, setting="float32", encoder="tiny", evaluations=evaluations
  )
  found = apsis.run(plan)
  assert found.seconds > sum(found.windows)
  if evaluations:
    assert found.accuracy == pytest.approx(np.mean(found.right))
  else:
    assert 2 <= len(found.windows) <= 3 and min(found.windows) > 0
    assert found.accuracy is None


def test_all_are_given_the_same_tokens(tmp_path):
  task = SentencePairConfig(name="demo", encoder="demo")
  size = given.write_splits(task, str(tmp_path))
  split = given.Split.read(str(tmp_path), "train")
  assert len(split.labels) == size == len(split.first)
  padded = split.padded()
  lengths = padded["mask"].sum(1)
  np.testing.assert_array_equal(lengths, np.diff(split.starts))
  for i in (0, size - 1):
    ids = split.ids[split.starts[i] : split.starts[i + 1]]
    np.testing.assert_array_equal(padded["ids"][i, : lengths[i]], ids)
    assert not padded["ids"][i, lengths[i] :].any()
    types = np.arange(lengths[i]) >= split.first[i]
    np.testing.assert_array_equal(padded["types"][i, : lengths[i]], types)


def test_evaluations_divide_the_steps_of_whole_commands():
  plan = dataclasses.replace(PLAN, steps=9, evaluations=3)
  assert plan.steps_per_evaluation == 3
  assert PLAN.steps_per_evaluation == PLAN.steps


def test_a_rate_is_examples_over_seconds():
  assert contest.blocks([2.0] * 10) == [32.0] * 5
  rates = contest.blocks([1.0, 3.0])
  assert rates == [64.0, pytest.approx(64 / 3)]
  assert contest.total([rates]) == pytest.approx(32.0)


def rows(unit, *found):
  """Rows of a record: contender, setting, samples, accuracies."""
  return [
    record.row(
      f"{contender} {setting}",
      unit,
      [[value] * 5],
      better="lower" if unit == "s" else "higher",
      contender=contender,
      setting=setting,
      accuracies=[accuracy] if accuracy else [],
      peak_memory_bytes=1e9,
    )
    for contender, setting, value, accuracy in found
  ]


def test_the_fastest_setting_of_a_contender_counts():
  found = rows(
    "examples/s",
    ("hugging_face", "dynamic bfloat16", 30.0, None),
    ("hugging_face", "grouped bfloat16", 40.0, None),
    ("apsis", "float32", 50.0, None),
    ("apsis", "bfloat16", 60.0, None),
  )
  grouped, dynamic = contest.verdicts(found)
  assert "apsis bfloat16 / hugging_face grouped bfloat16: 1.50" in grouped
  assert "goal 1.35: reached" in grouped
  assert "dynamic bfloat16: 2.00" in dynamic and "1.7: reached" in dynamic
  slow = rows(
    "examples/s", *((x["contender"], x["setting"], 20.0, None) for x in found)
  )
  assert all("not reached" in line for line in contest.verdicts(slow))


def test_accuracies_of_whole_commands_are_compared_by_pair():
  """One that is right where the other is, and on 40 more of 400 pairs."""
  found = rows(
    "s",
    ("hugging_face", "grouped bfloat16", 300.0, 0.8),
    ("apsis", "bfloat16", 150.0, 0.9),
  )
  for row, right in zip(found, (320, 360), strict=True):
    row["right"] = [(np.arange(400) < right).tolist()] * 3
  (line,) = contest.verdicts(found)
  told = line.split("beside 0.8000 ")[1]
  assert told.startswith("(+0.1000 [+0.07") and "by pair, p = 0.0" in told


@pytest.mark.parametrize(
  ("accuracy", "verdict"), [(0.8, "reached"), (0.78, "not reached")]
)
def test_a_whole_command_is_faster_only_at_the_same_accuracy(accuracy, verdict):
  found = rows(
    "s",
    ("hugging_face", "grouped bfloat16", 300.0, 0.8),
    ("apsis", "bfloat16", 150.0, accuracy),
  )
  (line,) = contest.verdicts(found)
  assert f"bfloat16: 2.00 [2.00, 2.00] at accuracy {accuracy:.4f}" in line
  assert line.endswith(f"goal 1.4: {verdict}")
  assert (
    f"150.0 [150.0, 150.0]{1.0:14.1f} GB   {accuracy:8.4f}"
    in (contest.table(found)[-1])
  )


@pytest.mark.parametrize(
  ("given", "said"),
  [
    ("--contenders=nobody", "`contenders` has ['nobody'], but takes"),
    ("--only=fast", "`only` has ['fast'], but takes"),
    ("--task=nothing", "`task` is 'nothing'"),
    ("--encoder=tiny", "no weights to share"),
    ("--learning_rate=-1", "`learning_rate` is -1"),
  ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, given, said):
  ended = enter(
    tmp_path,
    "benchmarks.peers",
    "--contenders=apsis,keras_fit",
    "--task=demo",
    given,
  )
  assert ended.status == 2
  assert said in ended.err
  assert ended.err.count("\n") == 1


def test_an_encoder_that_model_garden_cannot_load_is_refused(tmp_path):
  task = SentencePairConfig(name="demo", encoder=write("mpnet", str(tmp_path)))
  given.check(task, ["apsis", "hugging_face"])
  with pytest.raises(UserError, match="leave keras_fit and model_garden out"):
    given.check(task, ["apsis", "model_garden"])


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(UserError, match=r"torch: `pip install -e '.\[peers\]'`"):
    contest.check_installed(contest.chosen(["hugging_face"], []))
  contest.check_installed(contest.chosen(["apsis"], []))


def test_who_does_not_pad_to_one_width_is_measured_for_an_epoch():
  asked = {"padded": 24, "epoch": 115}
  for setting, steps in (
    ("padded float32", 24),
    ("grouped bfloat16", 115),
    ("bfloat16", 115),
  ):
    entry = contest.Entry("any", setting)
    assert contest.measured_steps(entry, **asked) == steps
