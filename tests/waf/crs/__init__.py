"""The Core Rule Set's regression suite (the shared folder's), held against an engine."""
