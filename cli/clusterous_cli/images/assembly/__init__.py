"""Images without a builder: layers of a registry, a layer of locked wheels, one archive of both."""
