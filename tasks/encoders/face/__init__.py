"""What families of Hugging Face's layout share: configs, weights, exports."""
