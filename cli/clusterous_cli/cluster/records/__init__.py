"""What is read of a cluster: the forms of its record, what machines report, who is away. Pure."""
