"""One module per command, whose `command` turns options into calls, and what several share."""
