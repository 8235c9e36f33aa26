"""What a tokenizer is to the rest, of whatever kind it is."""

import abc
import dataclasses
import functools
import hashlib
import json
import os
from typing import Any, ClassVar, Self

from engine.files import write_atomically
from tasks.config import Casing

SETTINGS = "tokenizer_config.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Template:
  """The special ids around sentences: `<s> A </s></s> B </s>`.

  Attributes:
    begin: id before the first sentence.
    end: id behind each sentence.
    ends: how many of these stand between two sentences.
  """

  begin: int
  end: int
  ends: int

  @property
  def single(self) -> int:
    """Special tokens of a single sentence."""
    return 2

  @property
  def pair(self) -> int:
    """Special tokens of a pair."""
    return 2 + self.ends


class Tokenizer(abc.ABC):
  """A tokenizer as a value: all who tokenise go by it.

  Attributes:
    pieces: the place of each is its id.
    source: path of the file that has the pieces, as the user knows it.
    cls: the piece before a pair.
    sep: the piece behind each sentence.
    pad: the piece of padding.
    ends: `sep`s between two sentences.
  """

  # Name of the file that has the pieces.
  file: ClassVar[str]
  # Why no graph of TensorFlow has the same ids; "": one has.
  not_in_graph: ClassVar[str] = ""

  pieces: tuple[str, ...]
  source: str
  cls: str
  sep: str
  pad: str
  ends: int

  @functools.cached_property
  def vocabulary(self) -> dict[str, int]:
    """Piece -> id."""
    return {piece: i for i, piece in enumerate(self.pieces)}

  @property
  def template(self) -> Template:
    """What stands around the sentences of a pair."""
    ids = self.vocabulary
    return Template(begin=ids[self.cls], end=ids[self.sep], ends=self.ends)

  @property
  @abc.abstractmethod
  def splits_at_spaces(self) -> bool:
    """Whether a word between spaces has the ids that it has in a text."""

  @abc.abstractmethod
  def library(self) -> Any:
    """Returns a `tokenizers.Tokenizer` that looks for no special pieces.

    "[SEP]" in a text is what somebody wrote.
    """

  @abc.abstractmethod
  def with_casing(self, casing: Casing) -> Self:
    """Returns the tokenizer with what the user says of case.

    Raises:
      UserError: where its case is not the user's to say.
    """

  @abc.abstractmethod
  def settled(self) -> Self:
    """Returns it without what needs to be said but once."""

  @abc.abstractmethod
  def remarks(self) -> list[str]:
    """What the user should know, a line each."""

  @abc.abstractmethod
  def facts(self) -> dict[str, Any]:
    """What ids depend on beside the pieces, for JSON."""

  @abc.abstractmethod
  def content(self) -> str:
    """Returns what the file with the pieces holds."""

  @abc.abstractmethod
  def settings(self) -> dict[str, Any]:
    """What `tokenizer_config.json` says of it, in Hugging Face's words."""

  def write(self, directory: str, **more: Any) -> list[str]:
    """Writes it into a directory, which is whole once its last file is there.

    Args:
      directory: exists, local or not.
      **more: for `tokenizer_config.json`.

    Returns:
      The paths of its files, that with the pieces first.
    """
    settings = json.dumps({**self.settings(), **more}, indent=2) + "\n"
    pieces, said = (os.path.join(directory, x) for x in (self.file, SETTINGS))
    write_atomically(said, settings)
    write_atomically(pieces, self.content())
    return [pieces, said]

  def digest(self) -> str:
    """Returns the SHA-256 of the file with the pieces, as it is written."""
    return hashlib.sha256(self.content().encode()).hexdigest()

  @abc.abstractmethod
  def key(self) -> str:
    """Returns a text that two tokenizers share if they are the same."""
