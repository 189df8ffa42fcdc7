"""The built-in rules: a hit and a miss for each, evasions, and what they say of traffic that is not an attack."""
