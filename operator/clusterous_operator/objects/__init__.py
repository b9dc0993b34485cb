"""What decisions need of Kubernetes' own objects: what pods use, troubles, overlays."""
