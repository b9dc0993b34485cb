"""A program, from its file to its open pages."""
