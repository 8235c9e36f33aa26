"""Hugging Face's `Trainer` on `transformers`' BERT, with PyTorch.

Settings: a type, and `padded` (rows of 128 tokens), `dynamic` (as wide as the
longest pair of the batch), or `grouped` (that, with batches of like lengths).
"""

import os
import tempfile

from benchmarks.contenders import plan as plans
from benchmarks.contenders.plan import BATCH_SIZE, Clock, Plan, answer
from engine.errors import UserError

SETTINGS = (
  "padded float32",
  "padded bfloat16",
  "dynamic bfloat16",
  "grouped bfloat16",
)

SAMPLING = {"grouped": "group_by_length"}


def directory_of(encoder: str) -> str:
  """Returns the Hugging Face directory of an encoder.

  Raises:
    UserError: where there is none.
  """
  from tasks.encoders import find as encoders

  source = encoders.find(encoder).source
  if not os.path.exists(os.path.join(source, "config.json")):
    raise UserError(
      f"`encoder` is {encoder!r}, which Hugging Face's library cannot read: "
      "use demo or a directory with config.json."
    )
  return source


def run(plan: Plan) -> tuple[list[float], float | None]:
  """Trains; returns seconds of windows, and the accuracy."""
  import numpy as np
  import torch
  import transformers

  way, precision = plan.setting.split()
  source = directory_of(plan.encoder)
  transformers.set_seed(plan.seed)
  transformers.logging.set_verbosity_error()
  model = transformers.BertForSequenceClassification.from_pretrained(
    source, num_labels=2, dtype=torch.float32
  )
  tokenizer = transformers.BertTokenizerFast.from_pretrained(source)

  def rows(split):
    encoded, labels = plans.read(plan, split)
    ids = np.split(encoded.ids, encoded.starts[1:-1])
    return [
      {
        "input_ids": row.tolist(),
        "token_type_ids": (np.arange(len(row)) >= first).astype(int).tolist(),
        "attention_mask": [1] * len(row),
        "label": int(label),
      }
      for row, first, label in zip(ids, encoded.first, labels, strict=True)
    ]

  clock = Clock(plan.steps_per_window)

  class Timing(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
      clock.step()

  with tempfile.TemporaryDirectory() as directory:
    trainer = transformers.Trainer(
      model=model,
      args=transformers.TrainingArguments(
        output_dir=directory,
        per_device_train_batch_size=BATCH_SIZE,
        per_device_eval_batch_size=BATCH_SIZE,
        max_steps=plan.steps,
        learning_rate=plans.LEARNING_RATE,
        warmup_steps=plan.warm_up_steps,
        weight_decay=plans.WEIGHT_DECAY,
        max_grad_norm=plans.CLIP_NORM,
        bf16=precision == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        seed=plan.seed,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        train_sampling_strategy=SAMPLING.get(way, "random"),
      ),
      data_collator=transformers.DataCollatorWithPadding(
        tokenizer,
        padding="max_length" if way == "padded" else "longest",
        max_length=plans.WIDTH,
      ),
      train_dataset=rows("train"),
      callbacks=[Timing()],
    )
    trainer.train()
    if not plan.evaluate:
      return clock.windows, None
    found = trainer.predict(rows("dev"))
  # Its own labels: grouped by length, it predicts in another order.
  right = found.predictions.argmax(-1) == found.label_ids
  return clock.windows, float(np.mean(right))


if __name__ == "__main__":
  answer(run)
