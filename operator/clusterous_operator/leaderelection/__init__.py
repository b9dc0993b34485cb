"""Who may write: the Lease, how it is held, and whether watches still speak."""
