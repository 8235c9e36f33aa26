"""Apsis, through the door that users take; a setting is a precision."""

import subprocess
import sys
import tempfile
import time

from benchmarks.contenders import plan as plans
from benchmarks.contenders.plan import Plan, Run, answer
from benchmarks.harness.cells import windows_of
from benchmarks.harness.runs import read_run
from engine.measure import per_example

SETTINGS = ("float32", "bfloat16")


def run(plan: Plan) -> Run:
  """Trains; steps that compile a shape are not in the windows."""
  with tempfile.TemporaryDirectory() as directory:
    command = [sys.executable, "-m", "launch.train", "--quiet"]
    command += [f"--mode={'train_and_eval' if plan.evaluations else 'train'}"]
    command += [f"--task={plan.task}", f"--encoder={plan.encoder}"]
    command += [f"--data_dir={plan.data_dir}", f"--precision={plan.setting}"]
    command += [f"--train_steps={plan.steps}", f"--seed={plan.seed}"]
    command += [f"--global_batch_size={plans.BATCH_SIZE}"]
    command += [f"--learning_rate={plan.learning_rate}"]
    command += [f"--dropout={plans.DROPOUT}", f"--model_dir={directory}"]
    if not plan.evaluations:
      command += [f"--steps_per_loop={plan.steps_per_window}"]
      # Few steps would have fewer shapes, and more padding, than a whole run.
      command += ["--shapes=fixed"]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - begun  # With its report and its exit.
    result, lines = read_run(directory)
    if plan.evaluations:
      table = per_example.read(directory, "dev")
      right = table["outputs"].argmax(-1) == table["labels"]
      return Run([], result["eval"]["accuracy"], seconds, right.tolist())
  points = [line["work"] for line in lines if "work" in line]
  rates = windows_of(points, warm_up=0)
  windows = [plan.steps_per_window / steps for steps, _, _ in rates]
  return Run(windows, None, seconds)


if __name__ == "__main__":
  answer(run)
