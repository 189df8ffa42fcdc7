"""Real proxies in front of the server, configured by the very files in examples/."""
