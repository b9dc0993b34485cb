"""What is known of the cluster: objects cut down to what decisions need, kept by app."""
