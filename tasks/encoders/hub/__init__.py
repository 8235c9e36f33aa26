"""A SavedModel that runs as the encoder itself, whatever it computes."""
