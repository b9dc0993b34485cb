"""The click group, and the boundary where our errors become exit codes."""
