"""DistilBERT (Sanh et al., arXiv 1910.01108): BERT's blocks, and no types."""
