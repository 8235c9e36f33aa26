"""Directories of finished runs, without any training."""

import json
import zlib

import numpy as np
import yaml

from engine.measure import per_example
from tasks.answers import Classes


def write_run(
  directory,
  *,
  labels,
  outputs,
  seed=0,
  split="dev",
  settings=None,
  metrics=None,
  texts=None,
):
  """Writes what a run of classes leaves of its last evaluation.

  Args:
    directory: of the run, as a `pathlib.Path`.
    labels: int [examples].
    outputs: logits [examples, classes].
    seed: of the run.
    split: that was evaluated.
    settings: of its config, part -> values.
    metrics: more of them.
    texts: of the examples.
  """
  names = [f"c{k}" for k in range(outputs.shape[1])]
  losses = Classes(names).loss(labels, outputs).numpy()
  texts = texts or [f"a {i} | b {i}" for i in range(len(labels))]
  directory.mkdir(parents=True)
  config = {
    "task": {"name": "demo", "dropout": 0.1},
    "train": {"seed": seed},
    "evaluation": {"split": split},
  }
  for part, values in (settings or {}).items():
    config[part] = {**config[part], **values}
  (directory / "config.yaml").write_text(yaml.safe_dump(config))
  evaluation = {
    "loss": float(losses.mean()),
    "examples_seen": len(labels),
    **Classes(names).metrics(labels, outputs),
    "of_record": "accuracy",
    **(metrics or {}),
  }
  line = {"step": 7, "kind": "eval", **evaluation}
  (directory / "metrics.jsonl").write_text(json.dumps(line) + "\n")
  result = {
    "global_step": 7,
    "seed": seed,
    "eval": evaluation,
    "train": {"timed_steps": 0},
    "ledger": {},
    "checkpoints": {"stall_seconds_mean": 0.0},
    "replicas": 1,
    "precision": "float32",
    "command": "python -m launch.train",
    "weights_sha256": f"{seed:08x}{zlib.crc32(outputs.tobytes()):08x}",
  }
  (directory / "result.json").write_text(json.dumps(result))
  (directory / "examples").mkdir()
  worst = np.argsort(-losses, kind="stable")
  np.savez(
    per_example.path_of(str(directory), split),
    step=np.array(7),
    labels=labels,
    weights=np.ones(len(labels), np.float32),
    losses=losses,
    ids=np.arange(len(labels)),
    sizes=np.full(len(labels), 9),
    worst=worst,
    texts=np.array([texts[i] for i in worst]),
    outputs=outputs,
  )
  return directory


def drawn(random, labels, gain=0.0, hard=0.0):
  """Logits [examples, 2] that are right more often with a larger gain."""
  noise = random.normal(size=len(labels)).astype(np.float32)
  margin = (1.0 + gain + hard + 0.7 * noise) * (2 * labels - 1)
  return np.stack([-margin, margin], -1).astype(np.float32) / 2
