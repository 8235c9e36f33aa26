"""Which parts of an encoder keep their weights: `embeddings,0-5`."""

import re

from engine.errors import UserError, quoted

_BLOCKS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def chosen(text: str, layers: int) -> frozenset[int]:
  """Returns the depths of what is frozen, as `layer_depth` counts them.

  Args:
    text: `embeddings`, numbers of blocks from 0 on, and ranges of them.
    layers: blocks of the encoder.

  Raises:
    UserError: where it names what there is not, or leaves no block to train.
  """
  blocks: set[int] = set()
  depths: set[int] = set()
  for part in text.replace(" ", "").split(","):
    match = _BLOCKS.fullmatch(part)
    if part == "embeddings":
      depths.add(layers + 1)
    elif match and int(match[1]) <= int(match[2] or match[1]) < layers:
      blocks.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    else:
      raise UserError(
        f"`freeze` has {quoted(part)}, but must have embeddings, or blocks "
        f"from 0 to {layers - 1} of the encoder, as embeddings,0."
      )
  if len(blocks) == layers:
    raise UserError(
      f"`freeze` is {quoted(text)}, all {layers} blocks of the encoder: leave "
      "the last ones to be trained."
    )
  return frozenset(depths | {layers - block for block in blocks})
