"""Which processes train together, and on which devices."""
