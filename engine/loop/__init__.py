"""Which batch comes when, and the loops around the compiled step."""
