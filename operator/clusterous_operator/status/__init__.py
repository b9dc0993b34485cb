"""What an app's status says, as a function of what is observed."""
