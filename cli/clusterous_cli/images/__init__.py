"""Images of programs: what they are built from, by what, and where they go."""
