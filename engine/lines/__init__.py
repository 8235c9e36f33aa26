"""Logs of JSON lines that grow, and what shows that no line is gone."""
