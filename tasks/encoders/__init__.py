"""Where an encoder comes from, whatever layout it has on disk."""
