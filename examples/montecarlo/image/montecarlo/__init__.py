"""Estimate pi by throwing points at a square: a master that hands out jobs, workers that throw."""
