"""The job of a process, and what it tells of it while it trains."""
