"""MPNet (Song et al., arXiv 2004.09297): a bias of distances for all blocks."""
