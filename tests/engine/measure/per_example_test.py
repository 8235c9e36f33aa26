"""What is kept of each example."""

import errno

import pytest

from engine.measure import per_example
from tests.support.testing import LineTask
from tests.support.training import lines, run


@pytest.mark.parametrize("lacking", [7, 14])
def test_what_the_disk_does_not_take_is_told_and_the_run_goes_on(
  tmp_path, monkeypatch, caplog, lacking
):
  write, left = per_example.write, [7, 14]

  def refused(*args, step, **kwargs):
    assert step == left.pop(0)
    if step == lacking:
      raise OSError(errno.ENOSPC, "No space left on device")
    return write(*args, step=step, **kwargs)

  monkeypatch.setattr(per_example, "write", refused)
  train = {"train_steps": 0, "epochs": 2.0, "global_batch_size": 8}
  result = run(tmp_path, task=LineTask(), train=train)
  assert [row["step"] for row in lines(tmp_path, "eval")] == [7, 14]
  assert result["global_step"] == 14 and not left
  (told,) = [x for x in caplog.messages if "could not be written" in x]
  assert "examples/dev.npz could not be written (No space left" in told
  assert f"evaluation of step {lacking} " in told
  kept = per_example.read(str(tmp_path), "dev")
  assert kept["step"] == 21 - lacking
