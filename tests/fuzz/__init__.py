"""Fuzz targets for whatever reads hostile bytes (libFuzzer; `make fuzz`), a target a file, and their seed corpora.

`python -m tests.fuzz` builds and runs them, `python -m tests.fuzz.seeds` writes the corpora. An input that once broke a
target is kept in its corpus under a name that says so, and the fault has a test beside those of the room it was in.
"""
