"""Metrics, health and state over HTTP, for people and scrapers on the same machine. Talks to the engine's face only.

One noun per file: metrics, health, state (policy, keys, top), bans, place (which key a query names), guard (who may
ask), server (the socket).
"""
