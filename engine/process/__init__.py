"""The life of a process: what stops it, what it shows, who restarts it."""
