"""What a cluster is: its file, its names and addresses, its record, its prices."""
