"""Keeps Python's cycle collector away from the cache, which has no cycles and lives long.

Its full collections look at every object there is: with 1,000 apps that took 45 ms each, in which
nobody is answered. What is frozen is not looked at; it still goes when its last reference does.
"""

import gc


def settle() -> None:
    """Free what is garbage now, and take the rest for long-lived."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
