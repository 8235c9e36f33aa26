"""From files and published sets to labelled pairs of sentences."""
