"""Machines on their way: where they are made, when all is ready, and how they leave."""
