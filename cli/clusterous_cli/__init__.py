"""The command line: private clusters in AWS, and programs that run on them."""
