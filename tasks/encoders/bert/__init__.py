"""BERT (Devlin et al., arXiv 1810.04805), in each layout that it comes in."""
