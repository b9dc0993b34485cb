"""What is checked of the account, and of the way to it: one file each."""
