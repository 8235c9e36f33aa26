"""What a replica does with its rows, the same on any number of replicas."""
