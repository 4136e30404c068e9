"""What a file may ask of the machine while it becomes a graph: how much work, how deep.

In: a budget for a whole net, spent by every statement run and every operation built. Out: a
diagnostic where a few lines ask for more than any machine has (`repeat 100_000` inside itself,
blocks that apply the one before twice), so that every text is compiled or refused in bounded time.
How much memory the parameters take is for the plan to say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...dsl.diagnostics import fail
from ...dsl.source import Span

MAX_WORK = 250_000  # statements and operations: some 15,000 dense layers
MAX_MISTAKES = 50  # in one net: who made more mends these first
MAX_FRAMES = 4_000  # of Python's stack; 64 nested blocks take about 1,000


class OutOfWork(Exception):
    """The budget is spent, or there are mistakes enough, and this has been said: give up."""


@dataclass
class Budget:
    """The work left for one net."""

    left: int = MAX_WORK

    def spend(self, span: Span | None, work: int = 1) -> None:
        """Raises Failure E251 when the budget is spent, and OutOfWork after that."""
        if self.left < 0:
            raise OutOfWork
        self.left -= work
        if self.left < 0:
            raise fail(
                "E251",
                f"this takes more than {MAX_WORK:,} statements and operations",
                span,
                note="the limit is reached here",
                help="repeat fewer times, or make values larger instead of more",
            )


@contextmanager
def bounded(span: Span | None = None) -> Iterator[None]:
    """Room for deep nesting, and a diagnostic (E235) for what is deeper still."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, MAX_FRAMES))
    try:
        yield
    except RecursionError:
        raise fail(
            "E235",
            "expressions or statements are nested too deep",
            span,
            help="give the inner parts names, and use those",
        ) from None
    finally:
        sys.setrecursionlimit(before)
