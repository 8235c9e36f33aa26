"""Model Garden's own trainer: `official.core.train_lib`, from TFRecords.

Its experiment `bert/sentence_prediction` as it comes, with the recipe of the
plan: float32, each pair in a row of 128 tokens.
"""

import os
import tempfile

from benchmarks.contenders import plan as plans
from benchmarks.contenders.garden import checkpoint, encoder_config
from benchmarks.contenders.given import Split
from benchmarks.contenders.plan import BATCH_SIZE, Clock, Plan, Run, answer


def write_records(plan: Plan, name: str, path: str) -> int:
  """Writes a split as the records that the trainer reads; returns its size."""
  import tensorflow as tf

  split = Split.read(plan.splits, name)
  arrays = split.padded()

  def feature(values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

  with tf.io.TFRecordWriter(path) as writer:
    for i, label in enumerate(split.labels):
      features = {
        "input_ids": feature(arrays["ids"][i]),
        "input_mask": feature(arrays["mask"][i]),
        "segment_ids": feature(arrays["types"][i]),
        "label_ids": feature([label]),
      }
      example = tf.train.Example(features=tf.train.Features(feature=features))
      writer.write(example.SerializeToString())
  return len(split.labels)


def run(plan: Plan) -> Run:
  """Trains; evaluates after each part."""
  import tensorflow as tf
  import tf_keras
  from official.core import exp_factory, task_factory, train_lib
  from official.nlp.configs import finetuning_experiments  # noqa: F401

  tf_keras.utils.set_random_seed(plan.seed)
  with tempfile.TemporaryDirectory() as directory:
    paths = {s: os.path.join(directory, s) for s in ("train", "dev")}
    sizes = {s: write_records(plan, s, path) for s, path in paths.items()}
    config = exp_factory.get_exp_config("bert/sentence_prediction")
    config.override(
      {
        "task": {
          "model": {
            "num_classes": 2,
            "encoder": encoder_config(plan).as_dict(),
          },
          "init_checkpoint": checkpoint(plan),
          "train_data": {
            "input_path": paths["train"],
            "seq_length": plans.WIDTH,
            "global_batch_size": BATCH_SIZE,
            "seed": plan.seed,
          },
          "validation_data": {
            "input_path": paths["dev"],
            "seq_length": plans.WIDTH,
            "global_batch_size": BATCH_SIZE,
          },
        },
        "trainer": {
          "train_steps": plan.steps,
          "steps_per_loop": plan.steps_per_window,
          "summary_interval": plan.steps,
          "checkpoint_interval": plan.steps,
          "validation_interval": plan.steps_per_evaluation,
          "validation_steps": -(-sizes["dev"] // BATCH_SIZE),
          "optimizer_config": {
            "optimizer": {"adamw": {"gradient_clip_norm": plans.CLIP_NORM}},
            "learning_rate": {
              "polynomial": {
                "initial_learning_rate": plan.learning_rate,
                "decay_steps": plan.steps,
              }
            },
            "warmup": {"polynomial": {"warmup_steps": plan.warm_up_steps}},
          },
        },
      }
    )
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    if tf.config.list_physical_devices("GPU"):
      strategy = tf.distribute.OneDeviceStrategy("GPU:0")
    with strategy.scope():
      task = task_factory.get_task(config.task, logging_dir=directory)
    clock = Clock(1)
    evaluations: list[dict] = []
    train_lib.run_experiment(
      strategy,
      task,
      "train_and_eval" if plan.evaluations else "train",
      config,
      directory,
      save_summary=False,
      train_actions=[lambda output: clock.window()],
      eval_actions=[evaluations.append],
    )
  found = evaluations[-1]["cls_accuracy"] if evaluations else None
  return Run(clock.windows, found if found is None else float(found))


if __name__ == "__main__":
  answer(run)
