"""What is frozen is not trained, has no moments, and stays as it was."""

import numpy as np
import pytest

from engine.errors import UserError
from engine.run.experiment import Experiment
from launch.trained.restored import restore_run
from tasks.model.freezing import chosen
from tasks.sentence_pair import SentencePairTask
from tests.support import families
from tests.support.testing import strategy_of, tiny_config, tiny_task
from tests.tasks.encoders.entry import task_of


def test_parts_are_named_by_their_depths():
  assert chosen("embeddings", 4) == {5}
  assert chosen("embeddings,0-1", 4) == {5, 4, 3}
  assert chosen("0, 2", 4) == {4, 2}


@pytest.mark.parametrize(
  "text, complaint",
  [
    ("0-3", "all 4 blocks of the encoder: leave"),
    ("embeddings,0,1,2,3", "all 4 blocks"),
    ("4", "'4', but must have embeddings, or blocks from 0 to 3"),
    ("2-1", "'2-1'"),
    ("pooler", "'pooler'"),
    ("embeddings,", "''"),
  ],
)
def test_what_cannot_be_frozen_is_named(text, complaint):
  with pytest.raises(UserError, match=complaint):
    chosen(text, 4)


def trained(directory, **settings):
  train = {
    "train_steps": 4,
    "global_batch_size": 8,
    **settings.pop("train", {}),
  }
  config = tiny_config(train=train, max_seq_length=32, **settings)
  result = Experiment(
    config=config,
    task=SentencePairTask(config.task),
    model_dir=str(directory),
    strategy=strategy_of(1),
  ).run("train")
  model = restore_run(str(directory), precision="float32").model
  return result, {v.name: v.numpy() for v in model.weights}


def test_frozen_parts_stay_and_stages_go_on_from_a_run(tmp_path):
  """`--freeze` and `--init_from`, on the smallest encoder."""
  task = tiny_task(max_seq_length=32)
  fresh = task.build_model()
  task.initialize(fresh, 0)
  first = {v.name: v.numpy() for v in fresh.weights}
  _, one = trained(tmp_path / "one", freeze="embeddings,0")
  kept = {name for name in first if np.array_equal(first[name], one[name])}
  frozen = {x for x in first if "embedding" in x or "/layer_0/" in x}
  # Of keys the bias has no effect: shares sum to 1.
  assert frozen <= kept
  assert {x for x in kept - frozen if "key/bias" not in x} == set()
  # The next begins where that ended: no step was taken with a rate of 0.
  _, two = trained(
    tmp_path / "two",
    train={"init_from": str(tmp_path / "one"), "train_steps": 1},
    optimizer={"learning_rate": 0.0},
  )
  for name, value in one.items():
    np.testing.assert_array_equal(two[name], value, err_msg=name)


def test_moments_are_of_what_is_trained_alone():
  model = tiny_task(freeze="embeddings,0").build_model()
  names = [v.name for v in model.trainable_variables]
  assert names and not any("embedding" in x or "layer_0" in x for x in names)
  whole = tiny_task().build_model()
  assert len(model.weights) == len(whole.weights)


def test_a_run_that_is_none_cannot_be_begun_from(tmp_path):
  with pytest.raises(UserError, match="`init_from` is .*holds no run"):
    trained(tmp_path / "new", train={"init_from": str(tmp_path / "no")})


def _place(name, tmp_path):
  return name if name == "tiny" else families.write(name, str(tmp_path / name))


@pytest.mark.parametrize(
  "old, new, complaint",
  [
    ("roberta", "camembert", "another tokenizer"),
    ("tiny", "electra", "`init_from` .*another family of encoders"),
    ("roberta", "roberta", None),
  ],
)
def test_a_stage_has_the_encoder_of_the_one_before(
  tmp_path, old, new, complaint
):
  """Others have weights of the same shapes, and other pieces or positions."""
  first, second = (task_of(_place(name, tmp_path)) for name in (old, new))
  assets = tmp_path / "assets"
  assets.mkdir()
  first.save_assets(str(assets))
  model = second.build_model()
  if complaint is None:
    assert set(second.inherited(model, str(assets))) == {"encoder", "head"}
    return
  with pytest.raises(UserError, match=complaint):
    second.inherited(model, str(assets))
