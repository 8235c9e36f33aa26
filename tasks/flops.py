"""Floating-point operations that BERT needs, whatever the layout computes.

They are counted as for model FLOPs utilisation (Chowdhery et al., PaLM, arXiv
2204.02311, appendix B): products only, two operations for each multiplication,
real tokens only, attention over a pair's own length; and the backward pass
costs twice the forward pass, since each product has two gradients.

What the classes of a pair do not depend on is no work that the model needs: of
the last block that is all but keys and values, for all tokens but the first
(see `Encoder.call`). PaLM's rule of thumb, 6 operations for each parameter and
token, would count it; so a utilisation by this count is the lower one.
"""

import numpy as np

from tasks.encoder import BertConfig


def training_flops(
  config: BertConfig, *, lengths: np.ndarray, classes: int
) -> np.ndarray:
  """Operations of a training step, forward and backward, on each pair.

  Args:
    config: sizes of the encoder.
    lengths: int [pairs], real tokens of each.
    classes: of the head.

  Returns:
    float64 [pairs].
  """
  lengths = np.asarray(lengths, np.float64)
  hidden, inner = config.hidden_size, config.intermediate_size
  # Parameters in products: each is a multiplication and an addition a token.
  projection = hidden * hidden
  feed_forward = 2 * hidden * inner
  attention = 2 * hidden * lengths  # Scores and the mixing of values.
  block = lengths * (4 * projection + feed_forward + attention)
  last = 2 * lengths * projection + 2 * projection + feed_forward + attention
  pooler_and_head = projection + hidden * classes
  blocks = (config.num_hidden_layers - 1) * block
  return 3 * 2 * (blocks + last + pooler_and_head)
