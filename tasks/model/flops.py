"""Floating-point operations that blocks need, whatever the layout computes.

They are counted as for model FLOPs utilisation (Chowdhery et al., PaLM, arXiv
2204.02311, appendix B): products only, two operations for each multiplication,
real tokens only, attention over a pair's own length; and the backward pass
costs twice the forward pass, since each product has two gradients.

The model's count is that of the whole encoder on each token, as papers count.
The executed one lacks what the classes of a pair do not depend on: of the last
block all but keys and values, for all tokens but the first (`run_block`).
"""

from typing import NamedTuple

import numpy as np


class Flops(NamedTuple):
  """Operations on each pair, float64 [pairs].

  Attributes:
    model: of the whole encoder and the head.
    executed: of these, what is not left out.
  """

  model: np.ndarray
  executed: np.ndarray


def training_flops(
  *,
  hidden: int,
  inner: int,
  layers: int,
  lengths: np.ndarray,
  classes: int,
  gated: bool = False,
) -> Flops:
  """Operations of a training step, forward and backward, on each pair.

  Args:
    hidden: size of what blocks and pooler take and give.
    inner: size between the two products of the feed-forward.
    layers: number of blocks.
    lengths: int [pairs], real tokens of each.
    classes: of the head.
    gated: whether the feed-forward has a product more, for its gate.
  """
  lengths = np.asarray(lengths, np.float64)
  # Parameters in products: each is a multiplication and an addition a token.
  projection = hidden * hidden
  feed_forward = (3 if gated else 2) * hidden * inner
  attention = 2 * hidden * lengths  # Scores and the mixing of values.
  block = lengths * (4 * projection + feed_forward + attention)
  last = 2 * lengths * projection + 2 * projection + feed_forward + attention
  rest = projection + hidden * classes  # Pooler and head.
  rest += (layers - 1) * block
  return Flops(3 * 2 * (rest + block), 3 * 2 * (rest + last))
