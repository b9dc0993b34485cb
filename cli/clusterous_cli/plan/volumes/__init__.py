"""What volumes and snapshots an account has, whoever made them; copies of a volume, and back."""
