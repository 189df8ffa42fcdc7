"""The policy: files in, a plan out. Pure: never imports the engine.

`load_policy(path)` is the way in; `plan` is what comes out.
"""

from ratelimitd.policy.pipeline import Policy, load_beside, load_policy, load_text

__all__ = ["Policy", "load_beside", "load_policy", "load_text"]
