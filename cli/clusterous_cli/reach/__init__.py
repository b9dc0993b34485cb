"""The ways into a running cluster: SSH, tunnels, its Kubernetes API."""
