"""What is done to programs that run: ended, kept for later, entered."""
