"""All who call at the chief's port, heard at once by one thread."""

import contextlib
import errno
import itertools
import selectors
import socket
import struct
import time
from collections.abc import Callable, Sequence

from engine.cluster.wire import Conversation, Stranger
from engine.errors import UserError

_PATIENCE = 5.0  # Seconds from a call to the end of its message.
_BESIDE = 128  # Callers without a message, beside all real ones.
_AT_ONCE = 256  # Calls that are taken before others are heard.
_PIECE = 2**16  # Bytes read at once.
_LONG = 3600.0  # Seconds that one look may take.
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: ends without a farewell.


class Caller:
  """One connection.

  Attributes:
    connection: its socket.
    talk: what is said over it.
    until: when it must have given its message.
  """

  def __init__(self, connection: socket.socket, token: bytes, until: float):
    self.connection = connection
    self.talk = Conversation(token, calls=False)
    self.until = until
    self.writes = False  # Whether the selector waits for room to send.


class Reception:
  """Takes calls, and one message from each caller that knows the token.

  while somebody is missing:
    take the calls that came; where too many wait, cut off the first of them
    read what came; cut off who breaks the protocol
    cut off who has not given a message in its time, however busy
    hand on the messages, and who of their senders has left

  Who is cut off hears nothing, holds nothing, and leaves no trace at the port,
  which TensorFlow's server needs next: its connection is reset.
  """

  def __init__(
    self,
    servers: Sequence[socket.socket],
    token: bytes,
    *,
    size: int,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Initializes the reception.

    Args:
      servers: that listen and do not block; closed at the end.
      token: of the job.
      size: callers that are expected.
      clock: returns seconds.
    """
    self.turned_away = 0  # Callers that gave no message.
    self._servers = servers
    self._token = token
    self._room = size + _BESIDE
    self._clock = clock
    self._waiting: dict[Caller, None] = {}  # For a message; the oldest first.
    self._guests: set[Caller] = set()  # Who gave one.
    self._selector = selectors.DefaultSelector()
    for server in servers:
      self._selector.register(server, selectors.EVENT_READ, server)

  def __enter__(self) -> "Reception":
    return self

  def __exit__(self, *_) -> None:
    self._close_doors()
    for caller in list(self._guests):
      self.cut(caller)
    self._selector.close()

  def hear(self, seconds: float) -> list[tuple[Caller, bytes | None]]:
    """Waits until something happens, for so many seconds at most.

    Returns:
      Senders with their messages; before them those who have left, with None.
    """
    for caller in itertools.islice(self._waiting, 1):
      seconds = min(seconds, caller.until - self._clock())
    heard = []
    for key, events in self._selector.select(min(max(seconds, 0.0), _LONG)):
      if not isinstance(key.data, Caller):
        self._take_calls(key.data)  # A server.
      elif key.data in self._waiting or key.data in self._guests:
        heard += self._attend(key.data, events)
    now = self._clock()
    late = itertools.takewhile(lambda x: x.until <= now, self._waiting)
    for caller in list(late):
      self.cut(caller)
    return sorted(heard, key=lambda x: x[1] is not None)

  def say(self, caller: Caller, payload: bytes) -> None:
    """Sends a message, as far as there is room, the rest in `hear`."""
    caller.talk.say(payload)
    with contextlib.suppress(OSError):  # It has left: `hear` finds out.
      self._send(caller)

  def cut(self, caller: Caller) -> None:
    """Ends a connection at once, without a word."""
    with contextlib.suppress(OSError):
      caller.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    self._close(caller)

  def part(self, seconds: float) -> None:
    """Takes no more calls, and waits until all guests have left.

    Who closes first keeps the port busy: that shall be they.
    """
    self._close_doors()
    end = self._clock() + seconds
    while self._guests and self._clock() < end:
      self.hear(end - self._clock())

  def _take_calls(self, server: socket.socket) -> None:
    for _ in range(_AT_ONCE):
      try:
        connection, _ = server.accept()
      except BlockingIOError:
        return
      except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
          self._make_room()
        return
      connection.setblocking(False)
      caller = Caller(connection, self._token, self._clock() + _PATIENCE)
      self._waiting[caller] = None
      self._selector.register(connection, selectors.EVENT_READ, caller)
      with contextlib.suppress(OSError):
        self._send(caller)
      if len(self._waiting) > self._room:
        self._make_room()

  def _make_room(self) -> None:
    """Cuts off who has waited longest for what to say."""
    for caller in itertools.islice(self._waiting, 1):
      self.cut(caller)
      return
    raise UserError(
      f"The chief cannot hold more than {len(self._guests)} connections: raise "
      "its limit of open files (`ulimit -n`)."
    )

  def _attend(
    self, caller: Caller, events: int
  ) -> list[tuple[Caller, bytes | None]]:
    """Reads and writes what one caller is ready for."""
    try:
      messages: list[bytes] = []
      if events & selectors.EVENT_READ:
        data = caller.connection.recv(_PIECE)
        if not data:
          raise ConnectionResetError
        messages = caller.talk.feed(data)
      self._send(caller)
      if len(messages) > (caller in self._waiting):
        raise Stranger("it says more than one message")
    except BlockingIOError:
      return []
    except (OSError, Stranger):
      was_guest = caller in self._guests
      self.cut(caller)
      return [(caller, None)] if was_guest else []
    for _ in messages:
      del self._waiting[caller]
      self._guests.add(caller)
    return [(caller, message) for message in messages]

  def _send(self, caller: Caller) -> None:
    outgoing = caller.talk.outgoing
    if outgoing:
      with contextlib.suppress(BlockingIOError):
        del outgoing[: caller.connection.send(outgoing)]
    if caller.writes != bool(outgoing):
      caller.writes = bool(outgoing)
      events = selectors.EVENT_READ | selectors.EVENT_WRITE * caller.writes
      self._selector.modify(caller.connection, events, caller)

  def _close(self, caller: Caller) -> None:
    self.turned_away += caller in self._waiting
    self._waiting.pop(caller, None)
    self._guests.discard(caller)
    self._selector.unregister(caller.connection)
    caller.connection.close()

  def _close_doors(self) -> None:
    for server in self._servers:
      self._selector.unregister(server)
      server.close()
    self._servers = ()
    for caller in list(self._waiting):
      self.cut(caller)
