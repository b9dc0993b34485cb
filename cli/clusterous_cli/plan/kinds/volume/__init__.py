"""The shared volume: on EFS, or on EBS with the controller; and what may become of it."""
