"""PCRE patterns understood: what they match, loosened, erased, restricted and split for gates that never hide a match.

Pure functions on trees (nodes.py), from bytes (parse.py) and to Hyperscan's dialect (render.py); no engine, no I/O.
"""
