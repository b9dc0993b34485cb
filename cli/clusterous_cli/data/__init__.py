"""Files to and from the shared volume."""
