"""How often a process of ours looks for cycles of garbage (the standard library's gc)."""

import gc

_YOUNG = 10_000  # objects; 700 by default


def collect_less() -> None:
    """Look when more is new than a few exchanges make.

    With thousands in flight nothing dies young: each look found all of it alive, which took a tenth of a worker's time.
    What a process of somebody else's does about its garbage is its own affair.
    """
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
