"""What a run will do before it runs, and what a compiler says of it."""
