"""Measures what users run, through the same doors."""
