"""What an image is built from: a folder, what its ignore file leaves of it, the copy, its hash."""
