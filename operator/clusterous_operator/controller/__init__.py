"""The operator as it runs: its process, its handlers, and one look at one app."""
