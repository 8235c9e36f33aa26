"""The trainers that a user could take instead, each in a process of its own."""
