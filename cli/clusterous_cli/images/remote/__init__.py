"""Builds on the cluster: the builder there, and what is sent to it, read of it and asked of it."""
