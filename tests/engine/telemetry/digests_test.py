"""Runs can be compared by their logs, and a resume by what was logged."""

import json

import numpy as np
import pytest

from engine.errors import UserError
from engine.loop.boundary import Boundary
from tests.support.testing import LineTask, acting_at, tiny_config
from tests.support.training import lines, run

SETTINGS = {
  "train": {"train_steps": 6, "global_batch_size": 16},
  "checkpoint": {"checkpoint_interval": 2},
}
LOGS = {"reproducible": True, "steps_per_loop": 1, "log_weights_digest": True}


def killed():
  raise KeyboardInterrupt


def cut_at(monkeypatch, directory, step, **runtime):
  """A run that is killed behind the log point of a step."""
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(Boundary, "check", acting_at(step, killed))
    run(directory, 1, LineTask(), runtime=LOGS | runtime, **SETTINGS)


def test_a_log_point_tells_its_weights_and_the_losses_of_shares(tmp_path):
  """Of the very step, though the device is given others ahead."""
  results = [
    run(tmp_path / str(n), n, LineTask(), runtime=LOGS, **SETTINGS)
    for n in (1, 4)
  ]
  one, four = (lines(tmp_path / str(n), "train") for n in (1, 4))
  digests = [point["weights_sha256"] for point in one]
  assert len(set(digests)) == 6
  assert digests[-1] == results[0]["weights_sha256"]
  assert digests == [point["weights_sha256"] for point in four]
  for a, b in zip(one, four, strict=True):
    assert (
      a["share_losses"] == b["share_losses"] and len(a["share_losses"]) == 8
    )
    np.testing.assert_allclose(sum(a["share_losses"]), a["loss"], rtol=1e-6)
  until = run(
    tmp_path / "until",
    runtime=LOGS,
    task=LineTask(),
    **SETTINGS | {"train": {"train_steps": 6, "global_batch_size": 16}},
  )
  assert until["weights_sha256"] == digests[-1]


def test_a_resume_is_held_against_what_was_logged(tmp_path, monkeypatch):
  cut_at(monkeypatch, tmp_path, 3, check_resume=True)
  path = tmp_path / "metrics.jsonl"
  logged = lines(tmp_path, None)
  assert [x["step"] for x in logged] == [1, 2, 3]
  logged[2]["weights_sha256"] = "0" * 64
  path.write_text("".join(json.dumps(x) + "\n" for x in logged))
  checked = LOGS | {"check_resume": True}
  for _ in range(2):  # Nothing is lost by it.
    with pytest.raises(UserError, match="At step 3 the weights are .* 000000"):
      run(tmp_path, 1, LineTask(), runtime=checked, **SETTINGS)
    assert lines(tmp_path, None)[2]["weights_sha256"] == "0" * 64
  assert run(tmp_path, 1, LineTask(), runtime=LOGS, **SETTINGS)


def test_a_resume_that_agrees_goes_on(tmp_path, monkeypatch):
  cut_at(monkeypatch, tmp_path, 3)
  found = run(
    tmp_path, 2, LineTask(), runtime=LOGS | {"check_resume": True}, **SETTINGS
  )
  assert found["global_step"] == 6


def test_a_check_without_digests_is_refused():
  with pytest.raises(UserError, match="with --log_weights_digest"):
    tiny_config(runtime={"check_resume": True})
