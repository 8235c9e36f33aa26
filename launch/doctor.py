"""Says what is wrong with a machine, and the cure: python -m launch.doctor."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

from absl import flags

from engine.config import LONGEST
from engine.errors import one_line
from launch.command.door import run_door
from launch.jobs.checkup import check_all, check_gpus
from launch.jobs.finding import BROKEN, OK, WARNING, Finding

flags.DEFINE_string("model_dir", "runs", "Directory where runs shall be.")
flags.DEFINE_bool("smoke", True, "Train five steps with each strategy.")
flags.DEFINE_bool("gpus", False, "Say what there is of GPUs, and no more.")
flags.DEFINE_float(
  "timeout",
  300.0,
  "Seconds that such a run may take.",
  lower_bound=0.0,
  upper_bound=LONGEST,
)


def main() -> None:
  """Prints a line for each thing, and its cure where it has a fault."""
  values = flags.FLAGS
  home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  directories = {
    "runs": os.path.abspath(values.model_dir),
    "cache": home,
    "temporary files": tempfile.gettempdir(),
  }
  worst, levels = OK, (OK, WARNING, BROKEN)
  findings = (
    check_gpus(os.environ)
    if values.gpus
    else check_all(directories, os.environ)
  )
  for finding in findings:
    show(finding)
    worst = max(worst, finding.level, key=levels.index)
  if values.gpus:
    sys.exit(worst == BROKEN)
  if values.smoke and worst != BROKEN:
    for finding in smoke(strategies(), values.timeout):
      show(finding)
      worst = max(worst, finding.level, key=levels.index)
  print({OK: "all is well", WARNING: "it runs"}.get(worst, "it cannot run so"))
  if worst == BROKEN:
    sys.exit(1)


def show(finding: Finding) -> None:
  """Prints a finding."""
  print(f"{finding.level:<8} {finding.subject:<20} {finding.found}", flush=True)
  if finding.cure:
    print(f"{'':<8} cure: {finding.cure}", flush=True)


def strategies() -> dict[str, Sequence[str]]:
  """Returns the strategies that can be tried here, and the doors to them."""
  import tensorflow as tf

  train = ("launch.train", "--strategy=mirrored")
  gpus = tf.config.list_physical_devices("GPU")
  found: dict[str, Sequence[str]] = {
    "one_device": ("launch.train", "--strategy=one_device"),
    "mirrored": train if gpus else (*train, "--num_virtual_devices=2"),
    "multi_worker": ("launch.cluster", "--num_workers=2", "--"),
  }
  if len(gpus) == 1:  # One GPU makes neither.
    del found["mirrored"], found["multi_worker"]
  if os.path.exists("/dev/accel0") or os.path.exists("/dev/vfio/0"):
    found["tpu"] = ("launch.train", "--tpu=local")
  return found


def smoke(
  doors: Mapping[str, Sequence[str]], timeout: float
) -> Iterator[Finding]:
  """Trains five steps of the tiny encoder with each strategy.

  Args:
    doors: name of a strategy -> module and flags.
    timeout: seconds that a run may take.
  """
  for name, door in doors.items():
    with tempfile.TemporaryDirectory() as directory:
      command = [
        sys.executable,
        "-m",
        *door,
        "--encoder=tiny",
        "--train_steps=5",
        "--global_batch_size=8",
        f"--model_dir={directory}/run",
      ]
      begun = time.monotonic()
      try:
        ended = subprocess.run(
          command,
          capture_output=True,
          text=True,
          timeout=timeout,
          stdin=subprocess.DEVNULL,
        )
        status, told = ended.returncode, ended.stderr.strip()
      except subprocess.TimeoutExpired:
        status, told = None, f"not finished after {timeout:g} s"
    seconds = time.monotonic() - begun
    subject = f"5 steps, {name}"
    if status == 0:
      yield Finding(OK, subject, f"trained and evaluated in {seconds:.0f} s")
    else:
      last = one_line(told.splitlines()[-1] if told else f"status {status}")
      yield Finding(
        BROKEN, subject, last, f"see {' '.join(command[1:-1])} --model_dir=DIR"
      )


if __name__ == "__main__":
  run_door(main, "Checks what a run needs here, and says the cure.")
