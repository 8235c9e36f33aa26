"""BERT's encoder (Devlin et al., arXiv 1810.04805).

Its weights come from Model Garden checkpoints, and a test holds its outputs to
those of Model Garden's encoder.
"""

from tasks.encoders.bert.config import BertConfig
from tasks.model.transformer import Transformer


class BertEncoder(Transformer):
  """The encoder of a BERT config.

  Attributes:
    config: its sizes.
  """

  def __init__(self, config: BertConfig, **kwargs):
    """Initializes the encoder; see `StreamEncoder`."""
    super().__init__(config.shape, **kwargs)
    self.config = config
