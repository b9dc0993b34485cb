"""What a cluster is made of: each kind of thing in AWS with all that is known of it."""
