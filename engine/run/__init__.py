"""One run of one task in one directory: built, wired into Orbit, run."""
