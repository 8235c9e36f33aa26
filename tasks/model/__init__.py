"""What is trained: an encoder on streams of tokens, and its head."""
