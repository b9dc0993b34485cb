"""What every program needs: other programs, waiting, files of ours, YAML with its lines."""
