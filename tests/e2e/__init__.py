"""A real Envoy in front of the server, and what its clients see."""
