"""What machines boot from: authorities, manifests, published files and the scripts."""
