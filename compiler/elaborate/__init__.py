"""Syntax to graph: names resolved, settings applied, blocks instantiated, shapes inferred.

`module` reads files, imports and constants; `body` runs the statements of one block instance;
`expressions` evaluates; `functions` are the words that are not blocks; `instances` makes and
applies layers; `scope` holds what names mean.
"""

from .module import Module, load_module, parse_module
from .net import forward

__all__ = ["Module", "forward", "load_module", "parse_module"]
