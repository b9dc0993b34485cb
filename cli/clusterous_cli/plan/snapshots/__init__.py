"""Snapshots of what Kubernetes knows: which the bucket has, and how a cluster begins with one."""
