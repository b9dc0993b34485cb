"""How many pods the nodes hold, which nodes take them, and which pods go first."""
