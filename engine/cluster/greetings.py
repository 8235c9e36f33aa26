"""What workers tell each other when they meet, checked, and what follows."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from engine.cluster.address import split
from engine.cluster.discovery import Cluster
from engine.cluster.wire import Stranger, decode, encode
from engine.errors import one_line

_LINE, _PART = 300, 100  # Characters of a message, and of a difference in it.
_NAMED = 4  # Of those who are missing.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hello:
  """What a worker says of itself.

  Attributes:
    index: which one it is.
    size: how many there are.
    address: its host:port.
    facts: what must be equal on all workers; JSON values.
    error: why it cannot take part; "" where it can.
  """

  index: int
  size: int
  address: str
  facts: dict[str, Any]
  error: str = ""

  def encode(self) -> bytes:
    return encode(vars(self))

  @classmethod
  def decode(cls, message: bytes) -> "Hello":
    """Reads and checks it.

    Raises:
      Stranger: where no worker would say so.
    """
    hello = cls(**_fields_of(cls, message))
    if not 0 < hello.index < hello.size or not _are_places([hello.address]):
      raise Stranger("it says that it is where nobody can be")
    return hello


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
  """What the chief says to all.

  Attributes:
    addresses: of the workers, where there is no refusal.
    refusal: why nobody starts; "" where all do.
  """

  addresses: list[str]
  refusal: str = ""

  def encode(self) -> bytes:
    return encode(vars(self))

  @classmethod
  def decode(cls, message: bytes, cluster: Cluster) -> "Answer":
    """Reads and checks it, as the worker that sees `cluster` so.

    Raises:
      Stranger: where this worker's chief would not say so.
    """
    answer = cls(**_fields_of(cls, message))
    if answer.refusal:
      return cls(addresses=[], refusal=one_line(answer.refusal, _LINE))
    addresses = answer.addresses
    if len(addresses) != cluster.size or not _are_places(addresses):
      raise Stranger("it names no workers")
    if any(addresses[i] != own for i, own in cluster.addresses.items()):
      raise Stranger("it names other workers")
    return answer


def _fields_of(kind: type, message: bytes) -> dict[str, Any]:
  """The fields of a dataclass from JSON, each of exactly its type."""
  said = decode(message)
  if not isinstance(said, dict):
    raise Stranger("it says what is no message")
  kinds = {field.name: field.type for field in dataclasses.fields(kind)}
  found = {name: type(value) for name, value in said.items()}
  if found != {name: getattr(x, "__origin__", x) for name, x in kinds.items()}:
    raise Stranger("it says what is no message")
  return said


def _are_places(addresses: Sequence[Any]) -> bool:
  """Whether all are host:port, and none is there twice."""
  try:
    return len({split(x) for x in addresses}) == len(addresses)
  except (TypeError, ValueError):
    return False


def refusal(
  cluster: Cluster, heard: Sequence[Hello], *, timeout: float, strangers: int
) -> str:
  """Why the run cannot start; empty where it can.

  Args:
    cluster: as the chief sees it.
    heard: from the chief, and from those who came.
    timeout: seconds that it has waited for the others.
    strangers: callers that were turned away.
  """
  known = {hello.index: hello.address for hello in heard}
  named = dataclasses.replace(cluster, addresses={**cluster.addresses, **known})
  places: dict[str, int] = {}
  for hello in heard:
    error, first = hello.error, places.setdefault(hello.address, hello.index)
    if first != hello.index:
      error = f"worker {first} says that it is there too"
    if error:
      error += ": end the other process or give another address."
      return one_line(f"{named.name(hello.index)}: {error}", _LINE)
    if different := _differences(cluster, heard[0], hello):
      return one_line(
        f"{named.name(hello.index)} differs from {named.name(0)} "
        f"({'; '.join(different)}): start all workers alike.",
        _LINE,
      )
  missing = [i for i in range(cluster.size) if i not in known]
  if not missing:
    return ""
  names = ", ".join(named.name(i) for i in missing[:_NAMED])
  if missing[_NAMED:]:
    names += f" and {len(missing) - _NAMED} more"
  others = (
    f" (calls without this job's token: {strangers})" if strangers else ""
  )
  return one_line(
    f"{names} did not answer within {timeout:g} s{others}: start it, or mend "
    "its address; --startup_timeout waits longer.",
    _LINE,
  )


def _differences(cluster: Cluster, chief: Hello, worker: Hello) -> list[str]:
  """In what a worker differs from what the chief knows; the first eight."""
  listed = cluster.addresses.get(worker.index, worker.address)
  different = compare(
    {"workers": cluster.size, "address": listed, **chief.facts},
    {"workers": worker.size, "address": worker.address, **worker.facts},
  )
  return [one_line(each, _PART) for each in different[:8]]


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
  """Names the facts that differ, with both values."""
  names = list(dict.fromkeys([*old, *new]))
  return [
    f"{name}: {old.get(name)!r} -> {new.get(name)!r}"
    for name in names
    if old.get(name) != new.get(name)
  ]
