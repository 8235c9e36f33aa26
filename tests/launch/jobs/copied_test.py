"""What a worker of another launcher prints is shown, and is in its log."""

import io

from launch.jobs.copied import copy


def test_what_is_printed_is_shown_and_is_in_the_log_of_its_worker(
  tmp_path, monkeypatch
):
  (tmp_path / "config.yaml").write_text("task:\n  name: x\ntrain:\n  seed: 0\n")
  monkeypatch.delenv("TF_CONFIG", raising=False)
  shown = io.StringIO()
  command = ["python", "-m", "launch.train", f"--model_dir={tmp_path}"]
  command += ["--worker_hosts=a:1,b:1", "--worker_index=1"]
  copy(io.StringIO("one\ntwo"), shown, command)
  assert shown.getvalue() == "one\ntwo"
  begun, *lines = (tmp_path / "worker_1.log").read_text().splitlines()
  assert begun.endswith(" ".join(command[:3]) + " " + " ".join(command[3:]))
  assert lines == ["one", "two"]


class Gone(io.StringIO):
  def write(self, text):
    raise BrokenPipeError


def test_the_log_goes_on_where_nobody_is_shown_anything(tmp_path):
  (tmp_path / "config.yaml").write_text("task:\n  name: x\ntrain:\n  seed: 0\n")
  copy(io.StringIO("one\ntwo\n"), Gone(), [f"--model_dir={tmp_path}"])
  (log,) = tmp_path.glob("*.log")
  assert log.read_text().splitlines()[1:] == ["one", "two"]
