"""Where each second went, how fast it was, what a run says of itself."""
