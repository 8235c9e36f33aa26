"""From a command line to one config, from a mistake to one line."""
