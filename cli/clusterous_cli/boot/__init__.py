"""What machines boot from: authorities, published files and the scripts."""
