"""Ways to spoil a request: `evade` a text, `place` one somewhere, break `bodies`, bend `fields` of the head.

Each takes a seeded random source first, so that a run can be had again.
"""
