"""What each command of cli.py does: one file per command, imported when it runs. Prints; returns the exit code."""
