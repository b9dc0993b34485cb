"""What is wanted, what there is, what is to be done about it, and who does it."""
