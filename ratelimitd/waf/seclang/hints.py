"""What may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Mapping


def did_you_mean(word: str, known: Mapping[str, str]) -> str:
    """The nearest of the known words (lower case -> as written); empty when none is near."""
    near = difflib.get_close_matches(word[:64].lower(), known, 1, 0.6)
    return f"did you mean '{known[near[0]]}'?" if near else ""
