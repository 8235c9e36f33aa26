"""Tasks that are no sentence pairs, to copy."""
