"""The ground truth: counting in plain Python with exact rationals, slow and obvious. Imports nothing of ours."""
