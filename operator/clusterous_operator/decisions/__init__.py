"""What is to be done for an app, as a function of what is observed."""
