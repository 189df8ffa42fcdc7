"""`python -m ratelimitd`."""

from ratelimitd.cli import main

main()
