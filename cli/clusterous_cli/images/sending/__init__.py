"""What a builder made, on its way into a registry: no builder logs in anywhere, or pushes."""
