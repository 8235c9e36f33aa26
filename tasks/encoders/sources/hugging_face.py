"""Encoders of the Hugging Face Hub by name, fetched once into its own cache."""

import os
import re

from engine.errors import UserError, shortened, words_of

_SCHEME = "hf:"
_NAME = re.compile(r"([\w.-]+(?:/[\w.-]+)?)(?:@([\w.-]+))?")
# Of a model: what families read.
_FILES = (
  "config.json",
  "model*.safetensors",
  "model.safetensors.index.json",
  "vocab.txt",
  "special_tokens_map.json",
  "added_tokens.json",
  "tokenizer.json",
  "tokenizer_config.json",
)


def is_name(encoder: str) -> bool:
  """Whether an encoder is one of the Hugging Face Hub."""
  return encoder.startswith(_SCHEME)


def fetched(encoder: str) -> str:
  """Returns the local directory of an encoder of the hub.

  It is named by its revision. What is in the cache is not fetched again, and
  without a network serves as it is. No code of a model is fetched.

  Args:
    encoder: `hf:OWNER/NAME`, or `hf:OWNER/NAME@REVISION`.

  Raises:
    UserError: where it cannot be fetched.
  """
  found = _NAME.fullmatch(encoder.removeprefix(_SCHEME))
  if not found:
    raise UserError(
      f"`encoder` is {shortened(encoder, 150)!r}, but must be hf:OWNER/NAME, "
      "or hf:OWNER/NAME@REVISION."
    )
  os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
  os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
  # Imported here: few runs need it.
  import huggingface_hub

  name, revision = found.groups()
  try:
    return huggingface_hub.snapshot_download(
      name, revision=revision, allow_patterns=[*_FILES]
    )
  # It raises classes of its own, and those of what it fetches with.
  except Exception as error:
    raise UserError(
      f"`encoder` {encoder} cannot be fetched ({words_of(error)}): look at the "
      "name, or fetch it where there is a network and name its directory."
    ) from error
