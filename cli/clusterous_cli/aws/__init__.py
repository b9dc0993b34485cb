"""The one way to AWS, and what AWS can answer."""
