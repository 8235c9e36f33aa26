"""What tells a process to stop is heard at once, and it ends in time."""

import collections
import contextlib
import http.server
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from engine.process.preemption import Notices
from engine.process.signals import STOPS

ROOT = os.path.abspath(__file__).rsplit("/tests/", 1)[0]
HANGS = 60.0  # Seconds; nothing here needs a tenth of it.
EVENT = "TERMINATE_ON_HOST_MAINTENANCE"
HEAD = f"""
import ctypes, hashlib, os, signal, sys, threading, time
sys.path.insert(0, {ROOT!r})
from engine.process.preemption import Notices
assert "tensorflow" not in sys.modules
def until(condition):
  end = time.monotonic() + {HANGS}
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.01)
def notices(grace=3600.0, **settings):
  return Notices(grace=grace, metadata_host="", **settings)
def work():  # In C, for half an hour.
  hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


def until(condition):
  end = time.monotonic() + HANGS
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.01)


@contextlib.contextmanager
def child(script):
  process = subprocess.Popen(
    [sys.executable, "-c", HEAD + script],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env={**os.environ, "PYTHONUNBUFFERED": ""},
  )
  with process:
    try:
      yield process
    finally:
      process.kill()


def run(script):
  """Returns status, output and errors of a script that ends by itself."""
  with child(script) as process:
    out, errors = process.communicate(timeout=HANGS)
  return process.returncode, out.split(), errors


def signal_in_c(script, number):
  """Sends a signal once the main thread does not return from C."""
  with child(script) as process:
    usage = psutil.Process(process.pid)
    assert process.stdout.readline() == "ready\n"
    start = usage.cpu_times().user
    until(lambda: usage.cpu_times().user > start + 0.3)
    process.send_signal(number)
    _, errors = process.communicate(timeout=HANGS)
  return process.returncode, errors


@pytest.fixture
def ends():
  """The statuses with which a process would have ended."""
  return queue.Queue()


@pytest.fixture
def listening(ends):
  """Returns notices that listen; the test's end closes them."""
  before = [signal.getsignal(number) for number in STOPS]
  with contextlib.ExitStack() as stack:

    def listening(grace=3600.0, metadata_host="", **settings):
      notices = Notices(
        grace=grace,
        metadata_host=metadata_host,
        poll=0.01,
        end=ends.put,
        **settings,
      )
      stack.callback(notices.close)
      notices.listen()
      return notices

    yield listening
  assert [signal.getsignal(number) for number in STOPS] == before


class Metadata:
  """A metadata server on loopback."""

  def __init__(self):
    self.answers = {
      "preempted": (200, "FALSE"),
      "maintenance-event": (200, "NONE"),
      "upcoming-maintenance?alt=json": (404, "<html>not found</html>"),
    }
    self.asked = collections.Counter()
    metadata = self

    class Handler(http.server.BaseHTTPRequestHandler):
      def do_GET(self):
        assert self.headers["Metadata-Flavor"] == "Google"
        folder, name = self.path.rsplit("/", 1)
        assert folder == "/computeMetadata/v1/instance"
        status, text = metadata.answers[name]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())
        metadata.asked[name] += 1

      def log_message(self, *args):
        pass

    self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    self.host = f"127.0.0.1:{self.server.server_port}"

  def wait_for_rounds(self):
    """Until each value was asked for twice from now on."""
    start = self.asked.copy()
    until(lambda: all(self.asked[x] >= start[x] + 2 for x in self.answers))


@pytest.fixture
def metadata(monkeypatch):
  for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
    monkeypatch.setenv(name, "http://127.0.0.1:1")
  for name in ("no_proxy", "NO_PROXY"):
    monkeypatch.delenv(name, raising=False)
  metadata = Metadata()
  thread = threading.Thread(target=metadata.server.serve_forever, args=(0.01,))
  thread.start()
  yield metadata
  metadata.server.shutdown()
  metadata.server.server_close()
  thread.join()


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_is_heard_while_the_main_thread_is_in_c(number):
  status, errors = signal_in_c(
    "n = notices(grace=0.1); n.listen(); n.begin();"
    "print('ready', flush=True); work()",
    number,
  )
  assert status == 75
  assert errors == (
    f"{number.name}: the next step boundary did not come within 0.1 s; what "
    "was not saved is computed again.\n"
  )


def test_before_training_a_signal_ends_the_process_at_once():
  status, errors = signal_in_c(
    "notices().listen(); print('ready', flush=True); work()", signal.SIGTERM
  )
  assert status == 75
  assert errors == (
    "SIGTERM: stopped before training began; the same command starts it "
    "again.\n"
  )


def test_a_second_interrupt_ends_the_process_at_once():
  status, out, errors = run("""
n = notices(); n.listen(); n.begin()
os.kill(os.getpid(), signal.SIGINT)
until(lambda: n.reason)
print(n.reason)  # Flushed by those who end.
os.kill(os.getpid(), signal.SIGINT)
work()
""")
  assert status == 130
  assert out == ["SIGINT"]
  assert errors == "SIGINT again: ended at once, without saving.\n"


def test_the_first_notice_is_the_reason_and_others_change_nothing():
  assert run("""
ends = []
n = notices(end=ends.append); n.listen(); n.begin()
for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
  signal.raise_signal(number)
signal.raise_signal(signal.SIGINT)  # It comes behind the others.
until(lambda: ends)
print(n.reason, ends)
""")[:2] == (0, ["SIGUSR1", "[130]"])


@pytest.mark.parametrize(
  ("again", "reason"), [("n.listen()", "SIGTERM"), ("", "SIGUSR1")]
)
def test_listening_again_takes_a_signal_back(again, reason):
  # Below Python, as TensorFlow does it: it still thinks that it has a handler.
  assert run(f"""
n = notices(); n.listen(); n.begin()
ctypes.CDLL(None).signal(int(signal.SIGTERM), ctypes.c_void_p(1))  # SIG_IGN
{again}
signal.raise_signal(signal.SIGTERM)
signal.raise_signal(signal.SIGUSR1)
until(lambda: n.reason)
print(n.reason)
""") == (0, [reason], "")


def test_closing_gives_the_signals_back_and_leaves_no_thread():
  assert run("""
signal.signal(signal.SIGTERM, lambda number, frame: print("earlier"))
before = signal.getsignal(signal.SIGINT)  # A shell's "&" ignores it.
n = notices(stop_files=["nowhere"]); n.listen(); n.listen(); n.begin()
os.kill(os.getpid(), signal.SIGUSR1)
until(lambda: n.reason)
n.close(); n.close()
until(lambda: threading.active_count() == 1)
assert signal.set_wakeup_fd(-1) == -1
assert signal.getsignal(signal.SIGINT) is before
assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
signal.raise_signal(signal.SIGTERM)
""") == (0, ["earlier"], "")


def test_who_does_not_read_keeps_no_process():
  # The pipe is full, and the main thread holds the lock of stdout.
  with child("""
notices().listen(); print("ready", flush=True)
print("x" * 10**7, flush=True)
""") as process:
    assert process.stdout.readline() == "ready\n"
    assert process.stdout.read(1) == "x"
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANGS) == 75


def test_closing_what_never_listened_does_nothing():
  before = [signal.getsignal(number) for number in STOPS]
  Notices(grace=1.0, metadata_host="").close()
  assert [signal.getsignal(number) for number in STOPS] == before


def test_a_stop_file_is_a_notice(listening, ends, tmp_path):
  path = tmp_path / "stop"
  notices = listening(stop_files=[str(tmp_path / "never"), str(path)])
  notices.begin()
  assert notices.reason == ""
  path.touch()
  until(lambda: notices.reason)
  assert notices.reason == f"the file {path}"
  assert ends.empty()


def test_a_stop_file_ends_a_start_and_the_line_says_what_to_do(
  listening, ends, tmp_path, capfd
):
  (tmp_path / "stop").touch()
  listening(stop_files=[str(tmp_path / "stop")])
  assert ends.get(timeout=HANGS) == 75
  assert capfd.readouterr().err == (
    f"the file {tmp_path}/stop: stopped before training began; once it is "
    "gone, the same command starts it again.\n"
  )


def test_stop_files_may_lie_where_the_caller_can_look(listening):
  looks = []

  def exists(path):
    looks.append(path)
    if len(looks) < 3:
      raise RuntimeError("out of reach")
    return True

  notices = listening(stop_files=["gs://bucket/stop"])
  notices.begin()
  notices.exists = exists
  until(lambda: notices.reason)
  assert notices.reason == "the file gs://bucket/stop"
  assert set(looks) == {"gs://bucket/stop"}


@pytest.mark.parametrize(
  ("name", "text", "reason"),
  [
    ("preempted", "TRUE", "preemption of this machine"),
    ("maintenance-event", EVENT, f"maintenance event {EVENT}"),
    (
      "upcoming-maintenance?alt=json",
      '{"maintenance_status": "ONGOING", "can_reschedule": "false"}',
      "maintenance of this machine, ONGOING",
    ),
  ],
)
def test_events_of_the_machine_are_notices(
  metadata, listening, monkeypatch, name, text, reason
):
  monkeypatch.setenv("GCE_METADATA_HOST", metadata.host)
  notices = listening(metadata_host=None)
  notices.begin()
  metadata.wait_for_rounds()
  assert notices.reason == ""
  metadata.answers[name] = 200, text
  until(lambda: notices.reason)
  assert notices.reason == reason


@pytest.mark.parametrize(
  "answers",
  [
    {"maintenance-event": (200, "MIGRATE_ON_HOST_MAINTENANCE")},
    {
      "upcoming-maintenance?alt=json": (
        200,
        '{"maintenance_status": "PENDING"}',
      )
    },
    {"upcoming-maintenance?alt=json": (200, "NONE")},
    {"upcoming-maintenance?alt=json": (200, '"NONE"')},
    {"preempted": (500, "TRUE"), "maintenance-event": (404, EVENT)},
    {"preempted": (200, "")},
  ],
)
def test_other_answers_are_none(metadata, listening, answers):
  metadata.answers.update(answers)
  notices = listening(metadata_host=metadata.host)
  notices.begin()
  metadata.wait_for_rounds()
  assert notices.reason == ""
  # It still asks.
  metadata.answers["preempted"] = 200, "TRUE"
  until(lambda: notices.reason)


def test_who_does_not_end_within_the_grace_is_ended(listening, ends, capfd):
  notices = listening(grace=0.01, stop_files=["stop"])
  notices.begin()
  notices.exists = lambda path: True
  assert ends.get(timeout=HANGS) == 75
  assert "did not come within 0.01 s" in capfd.readouterr().err


def test_who_closes_in_time_is_not_ended(listening, ends):
  threads = threading.active_count()
  notices = listening(stop_files=["stop"])
  notices.begin()
  notices.exists = lambda path: True
  until(lambda: notices.reason)
  assert threading.active_count() > threads  # The clock runs.
  notices.close()
  until(lambda: threading.active_count() == threads)
  assert ends.empty()
