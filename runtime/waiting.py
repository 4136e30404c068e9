"""Who is told when the user waits for kernels to be compiled.

`chainrule` shows it on a terminal; a program that uses chainrule as a library hears nothing unless
it sets `compiling` itself.
"""

from __future__ import annotations

from collections.abc import Callable

# Called with (kernels compiled, kernels to compile): first with 0, last with two equal numbers.
compiling: list[Callable[[int, int], None]] = []
