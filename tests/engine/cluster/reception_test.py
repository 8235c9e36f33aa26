"""One thread hears all callers; who is a stranger holds nobody up."""

import contextlib
import errno
import socket

import pytest

from engine.cluster import reception as reception_lib
from engine.cluster.reception import Reception
from engine.cluster.wire import Conversation
from engine.errors import UserError

TOKEN = b"a token of some job"
LOOKS = 1000  # More than any of these takes.


class Clock:
  now = 0.0

  def __call__(self):
    return self.now


class Worker:
  """A true worker, step by step."""

  def __init__(self, address, message=b"hello"):
    self.connection = socket.create_connection(address)
    self.connection.setblocking(False)
    self.talk = Conversation(TOKEN, calls=True)
    self.message = message

  def step(self):
    """Hears and says what it can; returns the messages that came."""
    told = []
    with contextlib.suppress(BlockingIOError):
      told = self.talk.feed(self.connection.recv(2**16))
    if self.talk.trusted and self.message:
      self.talk.say(self.message)
      self.message = b""
    self.connection.sendall(self.talk.outgoing)
    self.talk.outgoing.clear()
    return told


@pytest.fixture
def clock():
  return Clock()


@pytest.fixture
def place():
  """A server that listens, and its address."""
  with socket.create_server(("127.0.0.1", 0), backlog=500) as server:
    server.setblocking(False)
    yield server, server.getsockname()


@pytest.fixture
def reception(clock, place):
  with Reception([place[0]], TOKEN, size=2, clock=clock) as reception:
    yield reception


def introduce(worker, reception):
  """Lets a worker say its message; returns its caller at the reception."""
  message = worker.message
  for _ in range(LOOKS):
    worker.step()
    for caller, said in reception.hear(0.001):
      assert said == message
      return caller
  raise AssertionError("it was not heard")


def until(condition, reception):
  """Looks until something is so."""
  for _ in range(LOOKS):
    if condition():
      return
    reception.hear(0.001)
  raise AssertionError("it did not come")


def is_cut(connection):
  connection.setblocking(False)
  try:
    while connection.recv(2**16):
      pass
  except BlockingIOError:
    return False
  except ConnectionResetError:
    return True
  return True


def test_a_message_is_heard_and_answered(reception, place):
  worker = Worker(place[1])
  reception.say(introduce(worker, reception), b"an answer")
  told = []
  until(lambda: told.extend(worker.step()) or told, reception)
  assert told == [b"an answer"]
  worker.connection.close()
  reception.part(60.0)
  assert reception.turned_away == 0


def test_a_long_answer_to_one_who_does_not_read_holds_nobody(reception, place):
  deaf, worker = Worker(place[1]), Worker(place[1])
  reception.say(introduce(deaf, reception), bytes(2**20))
  reception.say(introduce(worker, reception), b"an answer")
  told = []
  until(lambda: told.extend(worker.step()) or told, reception)
  assert told == [b"an answer"]
  until(lambda: told.extend(deaf.step()) or told[1:], reception)
  assert told[1] == bytes(2**20)


def test_who_leaves_after_its_message_is_reported(reception, place):
  worker = Worker(place[1])
  caller = introduce(worker, reception)
  worker.connection.close()
  assert reception.hear(60.0) == [(caller, None)]
  assert reception.turned_away == 0


def test_who_has_left_is_reported_before_others_are_heard(reception, place):
  """A worker that comes back is not taken for a second one."""
  first, second = Worker(place[1]), Worker(place[1], b"second life")
  old = introduce(first, reception)
  until(lambda: second.step() or not second.message, reception)
  first.connection.close()
  (gone, none), (_, message) = reception.hear(60.0)
  assert (gone, none, message) == (old, None, b"second life")


def test_a_drip_does_not_stretch_the_time_that_a_caller_has(
  reception, place, clock
):
  stranger = socket.create_connection(place[1])
  for _ in range(9):
    stranger.send(b" ")
    reception.hear(0.001)
    clock.now += 0.5
    assert not is_cut(stranger)
  clock.now += 0.5
  reception.hear(0.0)
  assert is_cut(stranger)
  assert reception.turned_away == 1


def test_a_worker_that_proves_itself_and_says_nothing_is_cut_too(
  reception, place, clock
):
  worker = Worker(place[1], b"")
  until(lambda: worker.step() or worker.talk.trusted, reception)
  clock.now += 5.0
  reception.hear(0.0)
  assert is_cut(worker.connection)


def test_a_guest_may_wait_as_long_as_it_takes(reception, place, clock):
  worker = Worker(place[1])
  introduce(worker, reception)
  clock.now += 1e6
  reception.hear(0.0)
  assert not is_cut(worker.connection)


def test_a_second_message_ends_a_guest(reception, place):
  worker = Worker(place[1])
  caller = introduce(worker, reception)
  worker.message = b"another"
  worker.step()
  assert reception.hear(60.0) == [(caller, None)]
  assert is_cut(worker.connection)


def test_many_idle_callers_cost_each_other_their_places(reception, place):
  """And no time passes: a worker that comes last is heard at once."""
  with contextlib.ExitStack() as stack:
    idle = [
      stack.enter_context(socket.create_connection(place[1]))
      for _ in range(300)
    ]
    introduce(Worker(place[1]), reception)
    cut = [is_cut(each) for each in idle]
  assert cut == sorted(cut, reverse=True)  # The first to come, the first to go.
  assert len(cut) - sum(cut) <= 2 + reception_lib._BESIDE
  assert reception.turned_away == sum(cut)


class NoDescriptors:
  """A server whose process has none left, once it has taken some calls."""

  def __init__(self, server, most):
    self._server = server
    self._left = most

  def accept(self):
    if not self._left:
      raise OSError(errno.EMFILE, "Too many open files")
    self._left -= 1
    return self._server.accept()

  def __getattr__(self, name):
    return getattr(self._server, name)


def test_without_a_descriptor_the_first_stranger_makes_room(place, clock):
  server = NoDescriptors(place[0], 1)
  with Reception([server], TOKEN, size=2, clock=clock) as reception:
    first, second = (socket.create_connection(place[1]) for _ in range(2))
    reception.hear(0.1)
    assert is_cut(first) and not is_cut(second)
    with pytest.raises(UserError, match="ulimit -n"):
      reception.hear(0.1)


def test_nobody_is_left_at_the_port(reception, place):
  """A connection that waits there would keep TensorFlow's server out."""
  with contextlib.ExitStack() as stack:
    for words in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(99)):
      stranger = socket.create_connection(place[1])
      stack.enter_context(stranger)
      stranger.sendall(words)
    worker = Worker(place[1])
    introduce(worker, reception)
    worker.connection.close()
    reception.part(60.0)
    with socket.socket() as server:  # Without SO_REUSEADDR.
      server.bind(place[1])
