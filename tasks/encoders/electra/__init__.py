"""ELECTRA (Clark et al., arXiv 2003.10555): BERT with smaller tables."""
