"""What controllers on the cluster made in AWS: whose it is, and how it goes."""
