"""From pairs of sentences to token ids, and to the rows of a batch."""
