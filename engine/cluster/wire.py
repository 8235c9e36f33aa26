"""What goes over the wire between two that know the token of one job.

    chief                  caller
      nonce        ->
                   <-        nonce, proof
      proof        ->
                   <-        message
      message      ->

The token and both nonces give a key that nobody else has, and that no other
conversation will have. All that follows the nonces is in frames: four bytes of
length, the payload, and a MAC (HMAC-SHA256, RFC 2104) over who says it, how
many frames came before, and the payload. A proof is an empty frame. The caller
proves first: a stranger at the chief's port gets 32 random bytes and no more.

Nothing is encrypted: who can listen on the way reads the messages, but cannot
alter, repeat or invent one.
"""

import hmac
import json
import secrets
import struct
from typing import Any

LONGEST = 2**20  # Bytes of a message; 1,000 workers' addresses take 50 KB.
_DEEPEST = 8  # Levels of JSON.
_LABEL = b"apsis meeting 1"
_NONCE = _MAC = 32
_LENGTH = 4


class Stranger(Exception):
  """Who is there does not know the token, or does not keep to the protocol."""


class Conversation:
  """One end of it, without a socket: bytes go in, bytes and payloads come out.

  Attributes:
    trusted: whether the other end has proved that it knows the token.
    outgoing: bytes to send.
  """

  def __init__(self, token: bytes, *, calls: bool):
    """Begins.

    Args:
      token: what both ends know.
      calls: whether this is the end that called.
    """
    self.trusted = False
    self._token = token
    self._calls = calls
    self._nonce = secrets.token_bytes(_NONCE)
    self._key = b""
    self._said = self._heard = 0  # Frames.
    self._incoming = bytearray()
    self.outgoing = bytearray(b"" if calls else self._nonce)

  def say(self, payload: bytes) -> None:
    """Puts a message into `outgoing`; the other end must be trusted.

    Raises:
      ValueError: where it is longer than `LONGEST`.
    """
    assert self.trusted
    if len(payload) > LONGEST:
      raise ValueError(f"a message of {len(payload)} bytes is too long")
    self._frame(payload)

  def feed(self, data: bytes) -> list[bytes]:
    """Takes bytes that came; returns the messages that they complete.

    Holds no more than the frame that is under way: until the other end is
    trusted, 68 bytes beside `data`.

    Raises:
      Stranger: where they are not what one who knows the token would send.
    """
    self._incoming += data
    if not self._key and not self._exchange_nonces():
      return []
    messages = []
    while (payload := self._next_frame()) is not None:
      if self.trusted:
        messages.append(payload)
        continue
      self.trusted = True
      if not self._calls:
        self._frame(b"")
    return messages

  def _exchange_nonces(self) -> bool:
    """Makes the key, once the other nonce is there."""
    if len(self._incoming) < _NONCE:
      return False
    other = bytes(self._incoming[:_NONCE])
    del self._incoming[:_NONCE]
    nonces = other + self._nonce if self._calls else self._nonce + other
    self._key = hmac.digest(self._token, _LABEL + nonces, "sha256")
    if self._calls:
      self.outgoing += self._nonce
      self._frame(b"")
    return True

  def _next_frame(self) -> bytes | None:
    """Takes the next payload from what came; None where it is not whole."""
    if len(self._incoming) < _LENGTH:
      return None
    size = int.from_bytes(self._incoming[:_LENGTH], "big")
    if size > (LONGEST if self.trusted else 0):
      raise Stranger("it says too much")
    whole = _LENGTH + size + _MAC
    if len(self._incoming) < whole:
      return None
    payload = bytes(self._incoming[_LENGTH : _LENGTH + size])
    mac = bytes(self._incoming[_LENGTH + size : whole])
    if not hmac.compare_digest(
      mac, self._mac(not self._calls, self._heard, payload)
    ):
      raise Stranger("it does not know the token of this job")
    del self._incoming[:whole]
    self._heard += 1
    return payload

  def _frame(self, payload: bytes) -> None:
    mac = self._mac(self._calls, self._said, payload)
    self.outgoing += len(payload).to_bytes(_LENGTH, "big") + payload + mac
    self._said += 1

  def _mac(self, by_caller: bool, number: int, payload: bytes) -> bytes:
    head = struct.pack(">?Q", by_caller, number)
    return hmac.digest(self._key, head + payload, "sha256")


def encode(value: Any) -> bytes:
  """JSON as a message holds it."""
  return json.dumps(value).encode()


def decode(payload: bytes) -> Any:
  """Reads JSON.

  Raises:
    Stranger: where it is none, or deeper than messages are.
  """
  try:
    value = json.loads(payload.decode())
    if _depth(value) > _DEEPEST:
      raise ValueError("too deep")
  except (ValueError, RecursionError) as error:
    raise Stranger("it says what is no message") from error
  return value


def _depth(value: Any) -> int:
  if isinstance(value, dict):
    value = list(value.values())
  if not isinstance(value, list):
    return 0
  return 1 + max(map(_depth, value), default=0)
