"""Compiling without the garbage collector.

Parsing and the compiler's stages make many objects and none of them is garbage, so that looking for
cycles finds nothing and takes up to half of their time (`benchmarks/frontend.py` shows it).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """No search for cycles inside; as before afterwards."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
