"""What people see and say: the shared options, the screen, lines of progress, spelling."""
