"""What a well-formed policy must mean, by noun. Every check reports all that it finds; none stops the others.

A document may have gaps, where something had no shape: nothing is judged by what is not there (`Findings.whole`).
"""
