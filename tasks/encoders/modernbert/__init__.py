"""ModernBERT (Warner et al., arXiv 2412.13663): rotary, gated, norms before."""
