"""What leaves the project: models that others load."""
