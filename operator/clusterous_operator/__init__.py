"""The operator: reconciles ClusterousApps into masters, workers and their shared volume."""
