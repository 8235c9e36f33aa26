"""What a user may have meant by a name that is no setting."""

import difflib
from collections.abc import Mapping, Sequence

# What other trainers call it -> our setting. Hugging Face's TrainingArguments
# and tokenizers, Keras, Lightning, Model Garden, sentence-transformers.
OTHERS: Mapping[str, str] = {
  "accelerator": "runtime.strategy",
  "accumulate_grad_batches": "train.accumulate_steps",
  "adam_beta1": "optimizer.beta_1",
  "adam_beta2": "optimizer.beta_2",
  "adam_epsilon": "optimizer.epsilon",
  "batch_size": "train.global_batch_size",
  "bf16": "train.precision",
  "callbacks": "action",
  "checkpoint_steps": "checkpoint.checkpoint_interval",
  "data_path": "task.train_file",
  "dataset": "task.name",
  "dataset_name": "task.name",
  "default_root_dir": "model_dir",
  "device": "runtime.strategy",
  "devices": "runtime.strategy",
  "do_eval": "mode",
  "do_train": "mode",
  "dtype": "train.precision",
  "early_stopping": "evaluation.patience",
  "early_stopping_patience": "evaluation.patience",
  "eval_every": "evaluation.eval_interval",
  "eval_steps": "evaluation.eval_interval",
  "eval_strategy": "evaluation.eval_interval",
  "evaluation_steps": "evaluation.eval_interval",
  "evaluation_strategy": "evaluation.eval_interval",
  "fp16": "train.precision",
  "gradient_accumulation_steps": "train.accumulate_steps",
  "gradient_clip_norm": "optimizer.clip_norm",
  "gpus": "runtime.strategy",
  "gradient_clip_val": "optimizer.clip_norm",
  "hidden_dropout_prob": "task.dropout",
  "init_checkpoint": "task.encoder",
  "initial_learning_rate": "optimizer.learning_rate",
  "label_column_name": "task.label",
  "label_smoothing_factor": "task.label_smoothing",
  "load_best_model_at_end": "checkpoint.best_to_keep",
  "log_dir": "model_dir",
  "log_every_n_steps": "runtime.log_interval",
  "logging_dir": "model_dir",
  "logging_interval": "runtime.log_interval",
  "logging_steps": "runtime.log_interval",
  "lr": "optimizer.learning_rate",
  "lr_scheduler": "optimizer.schedule",
  "lr_scheduler_type": "optimizer.schedule",
  "max_epochs": "train.epochs",
  "max_grad_norm": "optimizer.clip_norm",
  "max_len": "task.max_seq_length",
  "max_length": "task.max_seq_length",
  "max_steps": "train.train_steps",
  "metric_for_best_model": "checkpoint.best_metric",
  "mixed_precision": "train.precision",
  "model_name": "task.encoder",
  "model_name_or_path": "task.encoder",
  "num_epochs": "train.epochs",
  "num_gpus": "runtime.strategy",
  "num_labels": "task.classes",
  "num_train_epochs": "train.epochs",
  "num_warmup_steps": "optimizer.warmup_steps",
  "optim": "optimizer.type",
  "optimizer": "optimizer.type",
  "output_dir": "model_dir",
  "per_device_eval_batch_size": "evaluation.eval_batch_size",
  "per_device_train_batch_size": "train.global_batch_size",
  "pos_label": "task.positive",
  "pretrained_model": "task.encoder",
  "pretrained_model_name_or_path": "task.encoder",
  "random_seed": "train.seed",
  "random_state": "train.seed",
  "report_to": "action",
  "resume_from_checkpoint": "model_dir",
  "run_name": "model_dir",
  "save_dir": "model_dir",
  "save_steps": "checkpoint.checkpoint_interval",
  "save_strategy": "checkpoint.checkpoint_interval",
  "save_total_limit": "checkpoint.max_to_keep",
  "seed_value": "train.seed",
  "sentence1_key": "task.text_a",
  "sentence2_key": "task.text_b",
  "steps": "train.train_steps",
  "task": "task.name",
  "task_name": "task.name",
  "test_size": "task.eval_fraction",
  "torch_dtype": "train.precision",
  "total_steps": "train.train_steps",
  "train_batch_size": "train.global_batch_size",
  "train_data": "task.train_file",
  "train_file_path": "task.train_file",
  "val_check_interval": "evaluation.eval_interval",
  "validation_file": "task.eval_file",
  "validation_fraction": "task.eval_fraction",
  "validation_interval": "evaluation.eval_interval",
  "validation_split": "task.eval_fraction",
  "warmup": "optimizer.warmup_ratio",
  "warmup_proportion": "optimizer.warmup_ratio",
  "wd": "optimizer.weight_decay",
}


def meant(name: str, known: Sequence[str]) -> str:
  """Returns the setting that a name may stand for; "" where none is near.

  Args:
    name: dotted or not.
    known: the names that there are, dotted or not as the name is.
  """
  called = so_called(name, known)
  if called:
    return called
  near = difflib.get_close_matches(name[:99], known, n=1, cutoff=0.7)
  if near or "." in name:
    return near[0] if near else ""
  by_last = {x.rsplit(".", 1)[-1]: x for x in known}
  near = difflib.get_close_matches(name[:99], by_last, n=1, cutoff=0.7)
  return by_last[near[0]] if near else ""


def so_called(name: str, known: Sequence[str]) -> str:
  """Returns what is called so, here or elsewhere; "" where nothing is.

  Args:
    name: dotted or not.
    known: the names that there are, dotted or not as the name is.
  """
  last = name.rsplit(".", 1)[-1].lower().replace("-", "_")
  ours = OTHERS.get(last, "")
  for candidate in (ours, ours.rsplit(".", 1)[-1]):
    if candidate and candidate in known:
      return candidate
  same = [x for x in known if x.rsplit(".", 1)[-1] == last]
  return same[0] if same else ""
