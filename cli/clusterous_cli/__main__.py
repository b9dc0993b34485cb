"""`python -m clusterous_cli`."""

from clusterous_cli.main import main

main()
