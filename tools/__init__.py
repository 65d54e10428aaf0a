"""What keeps the house in order: checks and files that are generated."""
