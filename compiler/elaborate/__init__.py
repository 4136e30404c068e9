"""Syntax to graph: names resolved, settings applied, blocks instantiated, shapes inferred.

`module` reads files, imports and constants; `body` runs the statements of one block instance;
`expressions` evaluates; `functions` are the words that are not blocks; `instances` makes and
applies layers; `scope` holds what names mean; `unfinished` is what is known of a net with mistakes.
"""

from .module import Module, load_module, parse_module
from .net import forward, partial_forward

__all__ = ["Module", "forward", "load_module", "parse_module", "partial_forward"]
