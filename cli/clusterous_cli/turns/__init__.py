"""Whose turn it is to change a cluster, and what was called in each."""
