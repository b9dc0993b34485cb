"""What decisions need of Kubernetes' own objects: quantities, requests, troubles, overlays."""
