"""launch.train: bad input ends in one line and exit status 2."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import (
  EventAccumulator,
)

from launch.jobs.ranks import free_ports
from tests.support.doors import TINY, Door, enter
from tests.support.testing import SHARED, needs_shared_data


def test_train_leaves_a_whole_run_directory(trained):
  model_dir, ended = trained
  assert sorted(os.listdir(model_dir)) == [
    "assets",
    "assets.json",
    "best",
    "checkpoints",
    "config.yaml",
    "data.json",
    "examples",
    "metrics.jsonl",
    "report.html",
    "restarts.jsonl",
    "result.json",
    "tensorboard",
  ]
  result = json.loads((model_dir / "result.json").read_text())
  assert result["global_step"] == 4
  assert result["eval"]["examples_seen"] == 236
  for metric in ("loss", "accuracy", "f1", "confusion"):
    assert metric in result["eval"]
  rate = result["train"]["examples_per_second"]
  assert result["train"]["examples_per_second_per_accelerator"] == rate
  for key in ("seed", "ledger", "traces", "weights_sha256", "strategy"):
    assert key in result
  assert result["versions"]["tensorflow"].startswith("2.20")
  assert result["hardware"]["cores"] == os.cpu_count()
  assert f"--model_dir={model_dir}" in result["command"]
  assert "resume with  python -m launch.train" in ended.out
  assert f"{model_dir}/checkpoints/ckpt-4" in ended.out
  assert (model_dir / "checkpoints" / "ckpt-4.index").exists()


@pytest.mark.parametrize(
  ("kind", "names"),
  [("train", ("loss", "learning_rate")), ("eval", ("loss", "accuracy"))],
)
def test_tensorboard_has_what_metrics_jsonl_has(trained, kind, names):
  model_dir, _ = trained
  events = EventAccumulator(str(model_dir / "tensorboard" / kind))
  events.Reload()
  with open(model_dir / "metrics.jsonl") as file:
    points = [x for x in map(json.loads, file) if x["kind"] == kind]
  for name in names:
    assert [
      (x.step, tf.make_ndarray(x.tensor_proto)) for x in events.Tensors(name)
    ] == [(x["step"], np.float32(x[name])) for x in points]


def test_the_same_command_on_a_finished_run_reports_it(trained, tmp_path):
  model_dir, first = trained
  times = lambda: {x: x.stat().st_mtime_ns for x in model_dir.rglob("*")}
  before = times()
  again = enter(tmp_path, "launch.train", *TINY, f"--model_dir={model_dir}")
  assert times() == before  # Nothing is written, the report neither.
  assert again.status == 0
  assert "finished before" in again.out
  assert again.out.splitlines()[-4:] == first.out.splitlines()[-4:]


def test_a_finished_run_is_rid_of_what_it_could_not_delete(trained, tmp_path):
  model_dir = shutil.copytree(trained[0], tmp_path / "run")
  whole = {*model_dir.rglob("*")}
  left = model_dir / "checkpoints" / ".ckpt-2.manifest.json.1.2.part"
  for path in (left, model_dir / "checkpoints" / "ckpt-2.index"):
    path.write_text("left")
  again = enter(tmp_path, "launch.train", *TINY, f"--model_dir={model_dir}")
  assert "finished before" in again.out
  assert {*model_dir.rglob("*")} == whole


def misses(labels, outputs):
  return np.sum(outputs.argmax(-1) != labels)


def test_eval_and_continuous_eval_with_a_metric_of_ones_own(trained, tmp_path):
  model_dir, _ = trained
  result = json.loads((model_dir / "result.json").read_text())
  for mode in ("eval", "continuous_eval"):
    ended = enter(
      tmp_path,
      "launch.train",
      *TINY,
      f"--model_dir={model_dir}",
      f"--mode={mode}",
      f"--metric={__name__}:misses",
    )
    assert ended.status == 0, ended.err
    evaluation = json.loads(ended.out.splitlines()[-1])
    (_, b), (c, _) = result["eval"]["confusion"]
    assert evaluation["misses"] == b + c
    assert evaluation["loss"] == result["eval"]["loss"]
    assert evaluation["confusion"] == result["eval"]["confusion"]


@pytest.mark.slow
@pytest.mark.parametrize(
  "task",
  [
    ("--task=examples.digits:Digits",),
    ("--task=demo", "--encoder=tiny", "--batching=pad"),
  ],
  ids=["digits", "pairs"],
)
def test_kill_9_and_the_same_command_goes_on(tmp_path, task):
  """The result is that of the uninterrupted trained, to the last bit."""
  settings = (
    *task,
    "--train_steps=150",
    "--steps_per_loop=5",
    "--checkpoint_interval=10",
    "--mode=train",
  )
  whole, cut = tmp_path / "whole", tmp_path / "cut"
  assert not enter(
    tmp_path, "launch.train", *settings, f"--model_dir={whole}"
  ).status
  door = Door(tmp_path, "launch.train", *settings, f"--model_dir={cut}")
  metrics = cut / "metrics.jsonl"
  while not metrics.exists() or metrics.read_text().count("\n") < 6:
    assert door.process.is_alive()
    door.process.join(0.01)
  os.kill(door.process.pid, signal.SIGKILL)
  assert door.end().status == -signal.SIGKILL
  assert not (cut / "result.json").exists()

  resumed = enter(tmp_path, "launch.train", *settings, f"--model_dir={cut}")
  assert resumed.status == 0, resumed.err
  assert "resumed at step" in resumed.out
  digests = [
    json.loads((path / "result.json").read_text())["weights_sha256"]
    for path in (whole, cut)
  ]
  assert digests[0] == digests[1]
  points = [
    [json.loads(x)["step"] for x in (path / "metrics.jsonl").open()]
    for path in (whole, cut)
  ]
  assert points[0] == points[1]


def test_two_jobs_in_one_directory_the_second_is_refused(tmp_path):
  model_dir = tmp_path / "m"
  (tmp_path / "first").mkdir()
  first = Door(
    tmp_path / "first",
    "launch.train",
    "--task=demo",
    "--encoder=tiny",
    "--train_steps=100000",
    f"--model_dir={model_dir}",
  )
  while not (model_dir / "metrics.jsonl").exists():
    assert first.process.is_alive()
    first.process.join(0.01)
  train = ("launch.train", *TINY, f"--model_dir={model_dir}")
  refused = enter(tmp_path, *train, "--train_steps=100000")
  assert refused.status == 2
  assert refused.err.count("\n") == 1
  assert f"pid {first.process.pid} on" in refused.err
  os.kill(first.process.pid, signal.SIGTERM)
  ended = first.end()
  assert ended.status == os.EX_TEMPFAIL
  assert "SIGTERM: stopped at step" in ended.err
  listed = enter(
    tmp_path, "launch.checkpoints", "verify", f"--model_dir={model_dir}"
  )
  assert listed.status == 0, listed.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_notice_before_training_ends_at_once(tmp_path, number):
  door = Door(
    tmp_path,
    "launch.train",
    *TINY,
    f"--model_dir={tmp_path / 'm'}",
    f"--worker_hosts=127.0.0.1:{free_ports(1)[0]},nowhere:8",
  )
  err = tmp_path / "door.err"
  # It listens once the signal no longer has its first meaning.
  status = f"/proc/{door.process.pid}/status"
  while not err.exists() or not _catches(status, number):
    assert door.process.is_alive()
    door.process.join(0.01)
  os.kill(door.process.pid, number)
  ended = door.end()
  assert ended.status == os.EX_TEMPFAIL, ended.err
  assert "stopped before training began" in ended.err


def _catches(path, number):
  """Whether a process has a handler of its own for SIGUSR1 too."""
  with open(path) as file:
    (mask,) = [int(x.split()[1], 16) for x in file if x.startswith("SigCgt")]
  return all(mask >> (n - 1) & 1 for n in (number, signal.SIGUSR1))


FREE = f"127.0.0.1:{free_ports(1)[0]}"


BAD_FLAGS = {
  "a misspelt flag": (["--epoch=3"], "did you mean --epochs?"),
  "a flag of others": (["--lr=3"], "did you mean --learning_rate?"),
  "a setting without a flag": (
    ["--warmup_steps=3"],
    "did you mean --params_override=optimizer.warmup_steps=",
  ),
  "a flag of others for such a setting": (
    ["--lr_scheduler_type=cosine"],
    "did you mean --params_override=optimizer.schedule=",
  ),
  "a flag of others for a directory": (["--output_dir=x"], "--model_dir?"),
  "a setting by its last word": (["--split=dev"], "did you mean --eval_split?"),
  "a misspelt override": (
    ["--params_override=optimizer.lerning_rate=1"],
    "did you mean `optimizer.learning_rate`",
  ),
  "an unknown task": (["--task=mrcp"], "one of ('demo', 'mrpc', "),
  "an unknown strategy": (["--strategy=best"], "auto|one_device|mirrored"),
  "no model_dir": (["--model_dir="], "add --model_dir"),
  "a word that is no flag": (["demo"], "is no flag"),
  "an unknown encoder": (
    ["--encoder=nowhere"],
    "must be demo, tiny, base, large",
  ),
  "mirrored on one device": (["--strategy=mirrored"], "there is one device"),
  "a batch that replicas cannot share": (
    ["--num_virtual_devices=4", "--global_batch_size=30"],
    "use 28 or 32",
  ),
  "a batch that micro-batches cannot share": (
    ["--accumulate_steps=5"],
    "1 replica with 5 accumulation steps cannot share: use 30 or 35",
  ),
  "a TPU where there is none": (["--tpu=local"], "there is no such TPU"),
  "a TPU and another strategy": (
    ["--tpu=local", "--strategy=mirrored"],
    "one process drives a TPU, with --strategy=tpu",
  ),
  "workers that nobody described": (
    ["--strategy=multi_worker"],
    "no cluster was found",
  ),
  "a worker without a port": (
    ["--worker_hosts=a,b:1"],
    "'a', but a worker is host:port",
  ),
  "a worker that never starts": (
    [f"--worker_hosts={FREE},nowhere:8", "--startup_timeout=0.1"],
    "worker 1 (nowhere:8) did not answer within 0.1 s",
  ),
  "a time of grace that is none": (["--grace_seconds=0"], "must be above 0"),
  "an unwritable directory": (["--model_dir=/proc/none"], "cannot be written"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_input_ends_in_one_line_and_status_2(tmp_path, case):
  flags, complaint = BAD_FLAGS[case]
  model_dir = tmp_path / "m"
  ended = enter(
    tmp_path, "launch.train", *TINY, f"--model_dir={model_dir}", *flags
  )
  assert ended.status == 2, ended.err
  assert complaint in ended.err
  complaints = [x for x in ended.err.splitlines() if not x.startswith("W")]
  assert len(complaints) == 1, ended.err
  assert not model_dir.exists()  # Nothing half-written.


BAD_CORPORA = {
  "a missing column": (
    b"split\tlabel\ttext_a\n",
    "`text_b` is 'text_b', which is not",
  ),
  "an empty sentence": (
    b"split\tlabel\ttext_a\ttext_b\ntrain\tdifferent\ta\t \n",
    "line 2: the second sentence is empty",
  ),
  "an unknown label": (
    b"split\tlabel\ttext_a\ttext_b\ntrain\tsame\ta\tb\n",
    "line 2: the label 'same' is none of",
  ),
  "broken UTF-8": (
    b"split\tlabel\ttext_a\ttext_b\ntrain\tdifferent\ta\t\xff\n",
    "line 2: byte 0xff is not UTF-8",
  ),
  "a short line": (
    b"split\tlabel\ttext_a\ttext_b\ntrain\tdifferent\ta\n",
    "line 2: 3 columns, but the header has 4",
  ),
  "an empty file": (b"", "is empty"),
}


@pytest.mark.parametrize("case", BAD_CORPORA)
def test_a_bad_corpus_is_named_with_file_and_line(tmp_path, case):
  content, complaint = BAD_CORPORA[case]
  (tmp_path / "pairs.tsv").write_bytes(content)
  ended = enter(
    tmp_path,
    "launch.train",
    *TINY,
    f"--model_dir={tmp_path / 'm'}",
    f"--data_dir={tmp_path}",
  )
  assert ended.status == 2, ended.err
  assert str(tmp_path / "pairs.tsv") in ended.err
  assert complaint in ended.err
  assert len(ended.err.strip().splitlines()) == 1, ended.err
  assert not (tmp_path / "m").exists()


def test_a_directory_of_another_run_is_refused_with_the_fields(
  trained, tmp_path
):
  model_dir, _ = trained
  before = (model_dir / "config.yaml").read_text()
  ended = enter(
    tmp_path,
    "launch.train",
    *TINY,
    f"--model_dir={model_dir}",
    "--seed=5",
    "--learning_rate=0.5",
  )
  assert ended.status == 2
  assert "optimizer.learning_rate: 0.001 -> 0.5" in ended.err
  assert "train.seed: 0 -> 5" in ended.err
  assert len(ended.err.strip().splitlines()) == 1
  assert (model_dir / "config.yaml").read_text() == before


@pytest.mark.slow
@needs_shared_data
def test_mrpc_through_tfds(tmp_path):
  """TFDS's real builder, from the files of ../shared, then two steps."""
  import subprocess
  import sys

  script = os.path.join(SHARED, "data", "prepare_tfds_mrpc.py")
  data = f"--data_dir={tmp_path / 'tfds'}"
  subprocess.run([sys.executable, script, data], check=True)
  ended = enter(
    tmp_path,
    "launch.train",
    "--task=mrpc",
    data,
    "--encoder=tiny",
    "--train_steps=2",
    f"--model_dir={tmp_path / 'm'}",
  )
  assert ended.status == 0, ended.err
  result = json.loads((tmp_path / "m" / "result.json").read_text())
  assert result["eval"]["examples_seen"] == 408
  assert sum(map(sum, result["eval"]["confusion"])) == 408
  assert sum(result["eval"]["confusion"][1]) == 279
  hidden = enter(
    tmp_path,
    "launch.train",
    "--task=mrpc",
    data,
    "--encoder=tiny",
    "--train_steps=2",
    "--mode=eval",
    "--params_override=evaluation.split=test",
    f"--model_dir={tmp_path / 'm'}",
  )
  assert hidden.status == 2
  assert "The split 'test' of mrpc has no labels" in hidden.err


def test_mrpc_without_data_and_network_says_what_to_do(tmp_path, monkeypatch):
  import tensorflow_datasets as tfds

  from engine.errors import UserError
  from tasks.config import SentencePairConfig
  from tasks.data.datasets import answers_of, read_split

  def unreachable(*_, **__):
    raise ConnectionError("no network")

  monkeypatch.setattr(
    tfds.core.DatasetBuilder, "download_and_prepare", unreachable
  )
  with pytest.raises(
    UserError, match=r"--data_dir, or run once with a network"
  ):
    config = SentencePairConfig(name="mrpc", data_dir=str(tmp_path))
    read_split(config, "train", answers_of(config))


def test_files_without_any_to_evaluate_on_are_split_and_stay_split(tmp_path):
  """All doors of the run know what it was not trained on."""
  rows = [f"a {i}\tb {i}\t{'no' if i % 3 else 'yes'}" for i in range(60)]
  header = "sentence1\tsentence2\tlabel"
  (tmp_path / "all.tsv").write_text("\n".join([header, *rows, ""]))
  run = f"--model_dir={tmp_path / 'run'}"
  command = (
    *("launch.train", run, "--task=pairs", "--encoder=tiny"),
    *(f"--train_file={tmp_path / 'all.tsv'}", "--train_steps=2"),
  )
  first = enter(tmp_path, *command)
  assert first.status == 0, first.err
  assert first.err.count("6 of 60 pairs of") == 1
  assert "'dev' has 4 no, 2 yes." in first.err
  result = json.loads((tmp_path / "run/result.json").read_text())
  assert result["eval"]["examples_seen"] == 6
  noted = json.loads((tmp_path / "run/data.json").read_text())["splits"]
  assert [noted[x]["examples"] for x in ("train", "dev")] == [54, 6]
  assert "eval_fraction: 0.1" in (tmp_path / "run/config.yaml").read_text()
  said = enter(tmp_path, "launch.predict", run, "--split=dev").out.splitlines()
  kept = np.load(tmp_path / "run/examples/dev.npz", allow_pickle=False)
  assert [x.split("\t")[0] for x in said[1:]] == [str(x) for x in kept["ids"]]
  # Rows in another order: other pairs are held out, and that is refused.
  (tmp_path / "all.tsv").write_text("\n".join([header, *rows[::-1], ""]))
  again = enter(tmp_path, "launch.predict", run, "--split=dev")
  assert again.status == 2
  assert "is a part of train_file, which has changed since" in again.err
