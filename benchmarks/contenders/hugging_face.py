"""Hugging Face's `Trainer` on a model of `transformers`, with PyTorch.

Settings: a type, and `padded` (rows of 128 tokens), `dynamic` (as wide as the
longest pair of the batch), or `grouped` (that, with batches of like lengths).
"""

import tempfile
import time

from benchmarks.contenders import plan as plans
from benchmarks.contenders.given import Split
from benchmarks.contenders.plan import BATCH_SIZE, Clock, Plan, Run, answer

SETTINGS = (
  "padded float32",
  "padded bfloat16",
  "dynamic bfloat16",
  "grouped bfloat16",
)

SAMPLING = {"grouped": "group_by_length"}


def run(plan: Plan) -> Run:
  """Trains; evaluates after each part, as `run_glue` does where it is told."""
  import numpy as np
  import torch
  import transformers

  way, precision = plan.setting.split()
  transformers.set_seed(plan.seed)
  transformers.logging.set_verbosity_error()
  model = transformers.AutoModelForSequenceClassification.from_pretrained(
    plan.source, num_labels=2, dtype=torch.float32
  )
  tokenizer = transformers.AutoTokenizer.from_pretrained(plan.source)
  names = tokenizer.model_input_names  # Not all families have types.

  def rows(name):
    split = Split.read(plan.splits, name)
    found = []
    for row, first, label in zip(
      np.split(split.ids, split.starts[1:-1]),
      split.first,
      split.labels,
      strict=True,
    ):
      types = (np.arange(len(row)) >= first).astype(int)
      columns = {"input_ids": row.tolist(), "token_type_ids": types.tolist()}
      columns = {k: columns[k] for k in columns if k in names}
      mask = [1] * len(row)
      found.append({**columns, "attention_mask": mask, "label": int(label)})
    return found

  def accuracy(found):
    right = found.predictions.argmax(-1) == found.label_ids
    return {"accuracy": right.mean()}

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
        learning_rate=plan.learning_rate,
        warmup_steps=plan.warm_up_steps,
        weight_decay=plans.WEIGHT_DECAY,
        max_grad_norm=plans.CLIP_NORM,
        bf16=precision == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        seed=plan.seed,
        save_strategy="no",
        eval_strategy="steps" if plan.evaluations else "no",
        eval_steps=plan.steps_per_evaluation,
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
      eval_dataset=rows("dev") if plan.evaluations else None,
      compute_metrics=accuracy,
      callbacks=[Timing()],
    )
    trainer.train()
    if not plan.evaluations:
      return Run(clock.windows, None)
    seconds = time.monotonic() - plan.begun
    name = "eval_accuracy"
    found = [x[name] for x in trainer.state.log_history if name in x]
    # Evaluations are grouped by length too; pairs are told in their order.
    trainer.args.train_sampling_strategy = "random"
    told = trainer.predict(rows("dev"))
    right = told.predictions.argmax(-1) == told.label_ids
  return Run(clock.windows, float(found[-1]), seconds, right.tolist())


if __name__ == "__main__":
  answer(run)
