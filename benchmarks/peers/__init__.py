"""The rivals: the same decision as others would write it."""
