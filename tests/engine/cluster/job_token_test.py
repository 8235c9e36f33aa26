"""A job's secret is from its launcher, or in a file of its user alone."""

import os
import stat
import tempfile

import pytest

from engine.cluster.discovery import Cluster
from engine.cluster.job_token import VARIABLE, find_token, with_token
from engine.errors import UserError

SECRET = "0123456789abcdef"


def cluster(host="a"):
  return Cluster(
    size=2,
    index=0,
    addresses={0: f"{host}:5000", 1: f"{host}:5001"},
    found_in="`worker_hosts`",
  )


@pytest.fixture
def temporary(tmp_path, monkeypatch):
  """A directory for temporary files of its own."""
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
  return tmp_path


def test_a_launchers_token_is_taken_and_nothing_is_written(tmp_path):
  token = find_token(cluster(), {VARIABLE: f" {SECRET}\n"}, str(tmp_path))
  with token.made() as made:
    assert made == token.read() == SECRET.encode()
    assert not os.listdir(tmp_path)
  assert SECRET not in repr(token)


@pytest.mark.parametrize("value", ["", "  ", "secret"])
def test_what_is_no_secret_is_refused(value, tmp_path):
  with pytest.raises(UserError, match="16 or more: set APSIS_JOB_TOKEN"):
    find_token(cluster(), {VARIABLE: value}, str(tmp_path))


def test_a_launcher_makes_a_token_unless_it_has_one():
  one, other = with_token({"A": "b"}), with_token({})
  assert one["A"] == "b" and len(one[VARIABLE]) == 64
  assert one[VARIABLE] != other[VARIABLE]
  assert with_token(one) == one


def test_without_one_the_chief_leaves_one_in_the_runs_directory(tmp_path):
  directory = tmp_path / "new" / "run"
  token = find_token(cluster(), {}, str(directory))
  with pytest.raises(OSError, match="no token in .*job_token yet"):
    token.read()
  with token.made() as made:
    path = directory / "job_token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert find_token(cluster(), {}, str(directory)).read() == made
    assert len(made) == 64
  assert not os.listdir(directory)
  with token.made() as again:
    assert again != made


def test_what_a_killed_chief_left_is_replaced(tmp_path):
  (tmp_path / "job_token").write_text(f"{'0' * 64}\n")
  token = find_token(cluster(), {}, str(tmp_path))
  with token.made() as made:
    assert token.read() == made != b"0" * 64


def test_another_jobs_token_is_left_alone(tmp_path):
  token = find_token(cluster(), {}, str(tmp_path))
  first, second = token.made(), token.made()
  first.__enter__()
  secret = second.__enter__()
  first.__exit__(None, None, None)
  assert token.read() == secret
  second.__exit__(None, None, None)
  assert not os.listdir(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_no_secret(tmp_path, mode):
  path = tmp_path / "job_token"
  path.write_text(f"{'0' * 64}\n")
  path.chmod(mode)
  with pytest.raises(OSError, match="this user alone"):
    find_token(cluster(), {}, str(tmp_path)).read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_no_secret(tmp_path):
  path = tmp_path / "job_token"
  path.write_text(f"{'0' * 64}\n")
  path.chmod(0o600)
  os.chown(path, 4321, -1)
  with pytest.raises(OSError, match="this user alone"):
    find_token(cluster(), {}, str(tmp_path)).read()


@pytest.mark.parametrize(
  "text", ["", "0" * 64, f"{'0' * 64}\n\n", f"{'g' * 64}\n", "0" * 10_000]
)
def test_a_file_that_holds_something_else_is_no_token(tmp_path, text):
  path = tmp_path / "job_token"
  path.write_text(text)
  path.chmod(0o600)
  with pytest.raises(OSError, match="holds no token"):
    find_token(cluster(), {}, str(tmp_path)).read()


def test_a_link_is_not_followed(tmp_path):
  elsewhere = tmp_path / "elsewhere"
  elsewhere.write_text(f"{'0' * 64}\n")
  elsewhere.chmod(0o600)
  run = tmp_path / "run"
  run.mkdir()
  (run / "job_token").symlink_to(elsewhere)
  token = find_token(cluster(), {}, str(run))
  with pytest.raises(OSError):
    token.read()
  with pytest.raises(UserError, match="move it away"):
    token.made().__enter__()
  assert elsewhere.read_text() == f"{'0' * 64}\n"
  assert os.path.islink(run / "job_token")


@pytest.mark.parametrize("kind", ["directory", "pipe", "text", "long", "lines"])
def test_what_is_no_token_neither_holds_nor_ends_up_deleted(tmp_path, kind):
  path = tmp_path / "job_token"
  texts = {"text": "mine", "long": "0" * 66, "lines": "0\n\n"}
  if kind in texts:
    path.write_text(texts[kind])
  else:
    path.mkdir() if kind == "directory" else os.mkfifo(path)
  before = path.lstat()
  token = find_token(cluster(), {}, str(tmp_path))
  with pytest.raises(OSError):
    token.read()
  with pytest.raises(UserError, match="move it away.*set APSIS_JOB_TOKEN"):
    token.made().__enter__()
  assert os.path.samestat(path.lstat(), before)
  assert kind not in texts or path.read_text() == texts[kind]


@pytest.mark.parametrize("left", ["", "0" * 7, "0" * 64])
def test_what_a_chief_had_half_written_is_replaced(tmp_path, left):
  (tmp_path / "job_token").write_text(left)
  with find_token(cluster(), {}, str(tmp_path)).made() as made:
    assert (tmp_path / "job_token").read_bytes() == made + b"\n"


def test_a_directory_that_cannot_be_written_is_named_with_the_cure():
  with pytest.raises(UserError, match="/proc/none.*: set APSIS_JOB_TOKEN"):
    find_token(cluster(), {}, "/proc/none").made().__enter__()


@pytest.mark.parametrize("directory", ["", "gs://bucket/run"])
def test_over_a_network_without_a_place_for_it_a_token_is_asked_for(directory):
  with pytest.raises(UserError, match="set APSIS_JOB_TOKEN") as caught:
    find_token(cluster(), {}, directory)
  assert "\n" not in str(caught.value) and len(str(caught.value)) <= 300


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_on_one_machine_it_is_in_a_directory_of_the_users_own(
  temporary, tmp_path, host
):
  run = tmp_path / "run"
  token = find_token(cluster(host), {}, str(run))
  with token.made() as made:
    (own,) = os.listdir(temporary)
    assert stat.S_IMODE((temporary / own).stat().st_mode) == 0o700
    assert os.listdir(temporary / own) == ["job_token-5000"]
    assert find_token(cluster(host), {}, "").read() == made
  assert not run.exists()


def test_a_directory_that_others_can_open_is_not_the_users_own(temporary):
  own = temporary / f"apsis-{os.geteuid()}"
  own.mkdir()
  own.chmod(0o755)
  with pytest.raises(UserError, match="not a directory that you alone can"):
    find_token(cluster("localhost"), {}, "")
  own.chmod(0o700)
  find_token(cluster("localhost"), {}, "")
  own.rmdir()
  elsewhere = temporary / "elsewhere"
  elsewhere.mkdir(0o700)
  own.symlink_to(elsewhere)
  with pytest.raises(UserError, match="not a directory that you alone can"):
    find_token(cluster("localhost"), {}, "")
