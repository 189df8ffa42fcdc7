"""The rule engine: a program over a transaction."""
