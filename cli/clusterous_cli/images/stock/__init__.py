"""The images that a registry keeps: which there are, who uses them, and which may go."""
