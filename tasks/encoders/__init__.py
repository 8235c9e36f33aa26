"""Which encoders there are: a table of families, a folder for each."""
