"""Two jobs in one run directory: the second is refused, the dead replaced."""

import fcntl
import json
import os
import subprocess
import sys
import threading

import pytest
import tensorflow as tf

from engine.durability.lock import Lock
from engine.errors import UserError

# A process that says where it is and lives until its input ends.
HOLDER = (
  "import os,sys; s=open('/proc/self/stat').read().rpartition(')')[2].split();"
  "print(os.getpid(), s[19], flush=True); sys.stdin.read()"
)


def never(seconds):
  raise AssertionError("it was not to wait")


def lock_of(directory, sleep=never):
  """A lock whose thread does not beat while a test runs."""
  return Lock(str(directory), interval=3600.0, sleep=sleep)


def record(directory):
  return json.loads((directory / "lock.json").read_text())


def rewrite(directory, **facts):
  """Makes the lock another's; returns the record."""
  values = {**record(directory), "token": "theirs", **facts}
  (directory / "lock.json").write_text(json.dumps(values))
  return values


@pytest.fixture
def locked(tmp_path):
  """A directory with a record of this process, which nobody renews."""
  lock_of(tmp_path).acquire()
  return tmp_path


@pytest.fixture
def holder():
  """A live process of this host: (the process, its pid, its start)."""
  process = subprocess.Popen(
    [sys.executable, "-c", HOLDER],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  pid, started = map(int, process.stdout.readline().split())
  yield process, pid, started
  process.communicate()


def test_a_free_directory_is_made_and_taken(tmp_path):
  with Lock(str(tmp_path / "a" / "b"), interval=3600.0) as lock:
    assert lock.still_held()
    assert record(tmp_path / "a" / "b")["pid"] == os.getpid()
    assert os.listdir(tmp_path / "a" / "b") == ["lock.json"]
  assert os.listdir(tmp_path / "a" / "b") == []
  assert not lock.still_held()


def test_a_directory_in_the_place_of_the_lock_is_named(tmp_path):
  (tmp_path / "lock.json").mkdir()
  with pytest.raises(UserError, match="lock.json is a directory, .*remove it"):
    lock_of(tmp_path).acquire()


def test_a_link_to_nothing_in_the_place_of_the_lock_is_named(tmp_path):
  for target in ("nowhere", "lock.json"):
    (tmp_path / "lock.json").symlink_to(target)
    with pytest.raises(UserError, match="lock.json is a link to no file.*remo"):
      lock_of(tmp_path).acquire()
    (tmp_path / "lock.json").unlink()


def test_a_number_that_no_process_can_have_is_watched(locked):
  rewrite(locked, pid=2**70)
  waits = []
  assert "took over" in lock_of(locked, waits.append).acquire()
  assert waits


def test_a_second_job_is_told_who_holds_it(tmp_path, holder):
  _, pid, started = holder
  lock_of(tmp_path).acquire()
  user = {"pid": pid, "started": started}
  rewrite(tmp_path, **user, user="\x1b[31mann")
  with pytest.raises(UserError, match=r"by \\x1b\[31mann \(pid"):
    lock_of(tmp_path).acquire()
  held = rewrite(tmp_path, **user, user="ann")
  with pytest.raises(UserError) as error:
    lock_of(tmp_path).acquire()
  text = str(error.value)
  assert (
    f"ann (pid {pid} on host {held['host']}, since {held['since']})" in text
  )
  assert "end that job, or choose another --model_dir" in text
  assert record(tmp_path) == held


def test_a_lock_of_an_ended_process_is_taken_over(locked, holder):
  process, pid, started = holder
  rewrite(locked, pid=pid, started=started)
  process.communicate()
  lock = lock_of(locked)
  assert f"pid {pid} on host" in (said := lock.acquire())
  assert "whose process has ended" in said
  assert lock.still_held()


def test_a_killed_process_that_nobody_reaped_has_ended(locked, holder):
  process, pid, started = holder
  rewrite(locked, pid=pid, started=started)
  process.kill()
  os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # It stays a zombie.
  assert "whose process has ended" in lock_of(locked).acquire()


def test_another_process_with_the_same_id_is_not_the_holder(locked, holder):
  _, pid, started = holder
  rewrite(locked, pid=pid, started=started - 1)
  assert "whose process has ended" in lock_of(locked).acquire()


ELSEWHERE = [
  {"host": "elsewhere"},
  {"boot_id": "of another boot"},
  {"boot_id": ""},
  {"pid_namespace": "pid:[1]"},
]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_another_host_that_beats_is_refused(locked, place):
  held = rewrite(locked, pid=1, started=1, interval=7000, **place)

  def one_beat(seconds):
    assert seconds == 3600.0
    rewrite(locked, beats=held["beats"] + 1)

  with pytest.raises(UserError, match="in use by .* since"):
    lock_of(locked, one_beat).acquire()
  assert record(locked)["token"] == "theirs"


@pytest.mark.parametrize("place", ELSEWHERE)
def test_another_host_that_stands_still_is_replaced(locked, place):
  rewrite(locked, **place)
  waits = []
  lock = lock_of(locked, waits.append)
  assert "heartbeat stood still for 10800 s" in lock.acquire()
  assert waits == [3600.0] * 3
  assert lock.still_held()


def test_a_slower_holder_is_given_its_own_time(locked):
  rewrite(locked, host="elsewhere", interval=20.0)
  waits = []
  Lock(str(locked), interval=5.0, sleep=waits.append).acquire()
  assert waits == [20.0] * 3


def test_a_lock_that_is_released_meanwhile_is_simply_taken(locked):
  rewrite(locked, host="elsewhere")
  lock = lock_of(locked, lambda _: os.remove(locked / "lock.json"))
  assert lock.acquire() == ""
  assert lock.still_held()


@pytest.mark.parametrize("text", [b"", b"\xff{", b"[1]", b'{"pid": -1}'])
def test_an_unreadable_lock_is_watched(tmp_path, text):
  path = tmp_path / "lock.json"
  path.write_bytes(text)
  with pytest.raises(UserError, match="unknown job"):
    lock_of(tmp_path, lambda _: path.write_bytes(text + b" ")).acquire()
  path.write_bytes(text)
  assert "unknown job" in lock_of(tmp_path, lambda _: None).acquire()


def test_a_frozen_holder_is_fenced_off(locked):
  frozen = lock_of(locked)
  rewrite(locked, pid=2**22 + 1)
  frozen.acquire()
  assert frozen.still_held()
  rewrite(locked, host="elsewhere")  # What the frozen one once wrote.
  successor = lock_of(locked, lambda _: None)
  successor.acquire()
  after = record(locked)
  frozen.beat()
  assert not frozen.still_held()
  frozen.release()
  assert record(locked) == after
  assert successor.still_held()


def test_what_was_lost_stays_lost(tmp_path):
  lock = lock_of(tmp_path)
  lock.acquire()
  mine = record(tmp_path)
  rewrite(tmp_path)
  assert not lock.still_held()
  (tmp_path / "lock.json").write_text(json.dumps(mine))
  assert not lock.still_held()


def test_beats_renew_the_record_and_survive_a_full_disk(tmp_path, monkeypatch):
  lock = lock_of(tmp_path)
  lock.acquire()
  lock.beat()
  assert record(tmp_path)["beats"] == 1
  with monkeypatch.context() as patch:
    patch.setattr(tf.io.gfile, "rename", full)
    lock.beat()
  assert os.listdir(tmp_path) == ["lock.json"]
  assert lock.still_held()
  lock.beat()
  assert record(tmp_path)["beats"] == 3


def full(*_, **__):
  raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")


def no_locks(*_):
  raise OSError


def test_the_thread_beats_until_the_release(tmp_path, monkeypatch):
  beaten = threading.Event()
  monkeypatch.setattr(Lock, "beat", lambda self: beaten.set())
  lock = Lock(str(tmp_path), interval=1e-3)
  before = set(threading.enumerate())
  lock.acquire()
  (thread,) = set(threading.enumerate()) - before
  assert beaten.wait(60)
  lock.release()
  thread.join(60)
  assert not thread.is_alive()


def test_of_racers_one_wins(tmp_path, monkeypatch):
  race(tmp_path, monkeypatch)


def test_of_racers_for_a_dead_holder_one_wins(locked, monkeypatch):
  rewrite(locked, pid=2**22 + 1)
  race(locked, monkeypatch)


def race(directory, monkeypatch):
  """Lets eight look before one of them writes."""
  locks = [lock_of(directory) for _ in range(8)]
  all_looked, looked, refused = threading.Barrier(8), set(), []
  read = Lock._read

  def look(lock):
    text = read(lock)
    if lock not in looked:
      looked.add(lock)
      all_looked.wait()
    return text

  monkeypatch.setattr(Lock, "_read", look)

  def take(lock):
    try:
      lock.acquire()
    except UserError as error:
      refused.append(str(error))

  threads = [threading.Thread(target=take, args=[lock]) for lock in locks]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert sum(lock.still_held() for lock in locks) == 1
  assert len(refused) == len(locks) - 1
  assert all("in use by" in text for text in refused)


def test_takers_exclude_each_other_while_they_write(tmp_path, monkeypatch):
  write, tried = Lock._write, []

  def contested(lock, **how):
    handle = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handle)
    tried.append(handle)
    return write(lock, **how)

  monkeypatch.setattr(Lock, "_write", contested)
  lock_of(tmp_path).acquire()
  assert tried


def test_a_first_lock_is_never_written_over(tmp_path, monkeypatch):
  # Where takers cannot exclude each other, a link is still made only once.
  monkeypatch.setattr(fcntl, "flock", no_locks)
  monkeypatch.setattr(Lock, "_read", lambda _: None)
  (tmp_path / "lock.json").write_text("first")
  with pytest.raises(UserError):
    lock_of(tmp_path, lambda _: None).acquire()
  assert (tmp_path / "lock.json").read_text() == "first"
  assert os.listdir(tmp_path) == ["lock.json"]


def test_a_directory_that_cannot_be_written_is_one_sentence(
  tmp_path, monkeypatch
):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="`model_dir` .* cannot be written"):
    lock_of(tmp_path / "file").acquire()
  monkeypatch.setattr(tf.io.gfile, "makedirs", full)
  with pytest.raises(UserError, match="ResourceExhaustedError.*free space"):
    lock_of(tmp_path).acquire()


def test_who_frees_space_needs_none(tmp_path, monkeypatch, holder):
  _, pid, started = holder
  free = Lock(str(tmp_path), frees=True, sleep=never)
  with monkeypatch.context() as patch:
    patch.setattr(Lock, "_write", full)
    with free:
      free.check()
      assert os.listdir(tmp_path) == []
      handle = os.open(tmp_path, os.O_RDONLY)
      with pytest.raises(BlockingIOError):  # So others wait.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handle)
    assert not free.still_held()
  lock_of(tmp_path).acquire()
  rewrite(tmp_path, pid=pid, started=started)
  monkeypatch.setattr(Lock, "_claim", full)
  with pytest.raises(UserError, match="is in use by"):
    free.acquire()


def test_another_file_system_needs_no_links():
  # ram:// is TensorFlow's own; it stands in for gs://.
  waits = []
  lock = lock_of("ram://lock_test/run", waits.append)
  assert lock.acquire() == ""
  assert waits == [1.0]  # Racers settle, then the last one holds it.
  lock.beat()
  assert lock.still_held()
  with pytest.raises(UserError, match="in use by"):
    lock_of("ram://lock_test/run").acquire()
  lock.release()
  assert not tf.io.gfile.exists("ram://lock_test/run/lock.json")
