"""Campaigns that try to break a run: its files, its readers, its moments."""
