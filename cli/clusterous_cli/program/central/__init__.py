"""Central logging on a cluster: what its stores need, how they stand, their pages and records."""
