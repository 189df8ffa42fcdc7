"""The cluster: counters travel through a shared store, and no check ever waits for it.

`cluster` runs it all; `topology` knows the masters, `flush` exchanges counts with one of them, `heartbeat` keeps the
list of live nodes and the clock, `breaker` says when to leave a master alone. Imports nothing of ours but the engine's
face, errors and the log.
"""
