"""What the cluster itself runs: one file each, and the table that the controller follows."""
