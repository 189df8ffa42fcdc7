"""The native server, for tests."""
