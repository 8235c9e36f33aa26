"""What a run will do before it runs, and what a TPU compiler says of it."""
