"""Processes that a door starts, and the machine that they start on."""
