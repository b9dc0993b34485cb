"""Commands that change a cluster, disturbed at each of their calls: all converge, nothing stays."""
