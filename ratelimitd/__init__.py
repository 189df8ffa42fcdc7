"""ratelimitd: may this request pass?"""

__version__ = "0.1.0"  # the same in pyproject.toml; a test compares them
