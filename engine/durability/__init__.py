"""What is on disk is whole or not there, and belongs to one job."""
