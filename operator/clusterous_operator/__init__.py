"""The operator: turns ClusterousApps into Deployments, Jobs, Services and volumes, and reports."""
