"""Names that others use lead to the right setting."""

import pytest

from engine.errors import UserError
from engine.settings import leaves
from launch.command import configs
from launch.command.flags import settings
from launch.command.hints import OTHERS, meant

KNOWN = [name for name, _, _ in leaves(configs.default_config())]


@pytest.mark.parametrize(
  ("name", "setting"),
  [
    ("lr", "optimizer.learning_rate"),
    ("batch_size", "train.global_batch_size"),
    ("train_batch_size", "train.global_batch_size"),
    ("per_device_train_batch_size", "train.global_batch_size"),
    ("num_train_epochs", "train.epochs"),
    ("max_length", "task.max_seq_length"),
    ("max_steps", "train.train_steps"),
    ("gradient_accumulation_steps", "train.accumulate_steps"),
    ("max_grad_norm", "optimizer.clip_norm"),
    ("model_name_or_path", "task.encoder"),
    ("fp16", "train.precision"),
    ("lr_scheduler_type", "optimizer.schedule"),
    ("save_steps", "checkpoint.checkpoint_interval"),
    ("logging_steps", "runtime.log_interval"),
    ("load_best_model_at_end", "checkpoint.best_to_keep"),
    # Of ours, in another part.
    ("train.learning_rate", "optimizer.learning_rate"),
    ("train.lr", "optimizer.learning_rate"),
    # Misspelt.
    ("optimizer.learning_rat", "optimizer.learning_rate"),
    ("learning_rte", "optimizer.learning_rate"),
    ("test_size", "task.eval_fraction"),
    ("accumulate_grad_batches", "train.accumulate_steps"),
    ("torch_dtype", "train.precision"),
  ],
)
def test_a_name_of_others_leads_to_the_setting(name, setting):
  with pytest.raises(UserError, match=f"did you mean `{setting}`"):
    configs.build_config([configs.parse_overrides(f"{name}=1")])


def test_all_hints_lead_to_what_there_is():
  assert set(OTHERS.values()) - {"action", "mode", "model_dir"} <= set(KNOWN)
  assert not set(OTHERS) & {x.rsplit(".", 1)[-1] for x in KNOWN}


@pytest.mark.parametrize("name", ["zzzzqqq", "num_workers", "push_to_hub"])
def test_what_is_like_nothing_has_no_hint(name):
  assert meant(name, KNOWN) == ""
  assert meant(name, [*settings()]) == ""


@pytest.mark.parametrize(
  ("override", "complaint"),
  [
    (
      "optimizer.type=adam",
      "`optimizer.type` is 'adam', but must be adamw or ",
    ),
    ("train.precision=16", "must be float32, bfloat16 or float16"),
  ],
)
def test_a_wrong_choice_lists_the_choices(override, complaint):
  with pytest.raises(UserError, match=complaint):
    configs.build_config([configs.parse_overrides(override)])
