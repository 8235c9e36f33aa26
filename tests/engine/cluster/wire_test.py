"""Two that know one token understand each other; nobody else is understood."""

import json
import random

import pytest

from engine.cluster.wire import (
  LONGEST,
  Conversation,
  Stranger,
  decode,
  encode,
)

TOKEN = b"a token of some job"


def ends(token=TOKEN, other=TOKEN):
  """The chief's end of a conversation, and the caller's."""
  return Conversation(token, calls=False), Conversation(other, calls=True)


def carry(source, target, pieces=None):
  """Carries what one end says to the other; returns what it understood."""
  data = bytes(source.outgoing)
  source.outgoing.clear()
  understood = []
  while data:
    size = pieces.randint(1, 40) if pieces else len(data)
    understood += target.feed(data[:size])
    data = data[size:]
  return understood


def introduced(**tokens):
  """Both ends, once each has proved itself to the other."""
  chief, caller = ends(**tokens)
  carry(chief, caller)
  carry(caller, chief)
  carry(chief, caller)
  assert chief.trusted and caller.trusted
  return chief, caller


@pytest.mark.parametrize("seed", range(20))
def test_messages_arrive_however_they_are_cut(seed):
  pieces = random.Random(seed)
  chief, caller = ends()
  carry(chief, caller, pieces)
  assert not caller.trusted
  carry(caller, chief, pieces)
  assert chief.trusted
  carry(chief, caller, pieces)
  assert caller.trusted
  messages = [pieces.randbytes(pieces.randrange(300)) for _ in range(5)]
  for message in messages:
    caller.say(message)
  assert carry(caller, chief, pieces) == messages
  chief.say(b"an answer")
  assert carry(chief, caller, pieces) == [b"an answer"]


def test_who_does_not_know_the_token_hears_a_nonce_and_nothing_else():
  chief, caller = ends(other=b"the token of another job")
  assert len(chief.outgoing) == 32
  carry(chief, caller)
  with pytest.raises(Stranger):
    carry(caller, chief)
  assert not chief.trusted and not chief.outgoing


def test_a_chief_who_does_not_know_the_token_hears_no_message():
  """All that a worker says first is a nonce and a proof."""
  chief, caller = ends(token=b"the token of another job")
  carry(chief, caller)
  assert len(caller.outgoing) == 32 + 4 + 32
  chief.outgoing += bytes(4) + bytes(32)
  with pytest.raises(Stranger):
    carry(chief, caller)
  assert not caller.trusted


def test_a_proof_is_worth_nothing_in_another_conversation():
  chief, caller = ends()
  carry(chief, caller)
  recorded = bytes(caller.outgoing)
  chief.feed(recorded)
  assert chief.trusted
  other = Conversation(TOKEN, calls=False)
  with pytest.raises(Stranger):
    other.feed(recorded)


def test_a_proof_proves_nothing_to_who_gave_it():
  _, caller = ends()
  caller.feed(bytes(32))
  with pytest.raises(Stranger):
    caller.feed(caller.outgoing[32:])


def test_a_message_cannot_be_repeated():
  chief, caller = introduced()
  caller.say(b"a message")
  said = bytes(caller.outgoing)
  assert chief.feed(said) == [b"a message"]
  with pytest.raises(Stranger):
    chief.feed(said)


def test_an_altered_conversation_brings_no_altered_message():
  """One bit, or one byte more or less, anywhere in what a caller sends."""
  for generator in map(random.Random, range(300)):
    message = generator.randbytes(generator.randrange(1, 60))
    chief, caller = ends()
    understood, whole = [], True
    place = generator.randrange(68 + 36 + len(message))
    for first in (True, False):
      carry(chief, caller)
      if not first and caller.trusted:
        caller.say(message)
      said = bytes(caller.outgoing)
      if 0 <= place < len(said):
        caller.outgoing[:] = altered(said, place, generator)
        whole = caller.outgoing.startswith(said)
      place -= len(said)
      try:
        understood += carry(caller, chief)
      except Stranger:
        break
    assert understood in ([], [message]) and (whole or not understood)


def altered(data, place, generator):
  """Bytes with one bit turned, one byte less or one more."""
  change = generator.choice(("turn", "drop", "add"))
  if change == "turn":
    new = bytes([data[place] ^ 1 << generator.randrange(8)])
  else:
    new = b"" if change == "drop" else generator.randbytes(1) + data[place:][:1]
  return data[:place] + new + data[place + 1 :]


def test_noise_ends_the_conversation_before_it_fills_the_memory():
  for generator in map(random.Random, range(200)):
    chief, _ = ends()
    held = 0
    with pytest.raises(Stranger):
      for _ in range(100):
        piece = generator.randbytes(generator.randint(1, 64))
        if generator.random() < 0.3:
          piece = bytes(len(piece))
        chief.feed(piece)
        held = max(held, len(chief._incoming))
    assert held < 68 and not chief.trusted


def test_nothing_is_longer_than_a_message_may_be():
  chief, caller = introduced()
  with pytest.raises(ValueError, match="too long"):
    caller.say(bytes(LONGEST + 1))
  caller.say(bytes(LONGEST))
  assert carry(caller, chief) == [bytes(LONGEST)]
  with pytest.raises(Stranger):
    chief.feed((LONGEST + 1).to_bytes(4, "big"))


def test_what_is_said_in_json_comes_back():
  value = {"a": [1, 2.5, None, True, "ü"], "b": {"c": [[1]]}}
  assert decode(encode(value)) == value


@pytest.mark.parametrize(
  "payload",
  [
    b"",
    b"{",
    b"\xff",
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b"[" * 9 + b"]" * 9,
    b"1" * 5000,
    b'"\\ud800',
    "{}".encode("utf-16"),
  ],
)
def test_what_is_no_message_is_a_strangers(payload):
  with pytest.raises(Stranger):
    decode(payload)


def test_damaged_json_is_read_or_refused():
  for generator in map(random.Random, range(300)):
    text = bytearray(encode({"index": 1, "facts": {"a": [1, {"b": "x"}]}}))
    for _ in range(generator.randint(1, 5)):
      text[generator.randrange(len(text))] = generator.choice(
        b'[]{}",:\\0e\xff'
      )
    try:
      value = decode(bytes(text))
    except Stranger:
      continue
    assert json.loads(text.decode()) == value
