"""A `.net` file with its imports, constants and settings; the standard library behind it.

In: a path, or a parsed file. Out: a `Module`, in which every top-level name has one meaning.
Nothing is instantiated here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

from ...dsl import syntax as s
from ...dsl.diagnostics import Diagnostic, Failure, Label, did_you_mean, fail
from ...dsl.parse import parse, parse_expression, read
from ...dsl.source import Source
from ..op import registry
from .limits import bounded
from .scope import BlockRef, Function, Meaning

_HEADER = re.compile(r"^(?:block|optimizer) (\w+)", re.MULTILINE)
MAX_IMPORTS = 100
# Names that mean something unless the file gives them away: words that settings take, and infinity.
WORDS: dict[str, Meaning] = {
    **{word: word for word in ("same", "valid", "nearest", "bilinear")},
    "inf": math.inf,
}


@dataclass
class Module:
    """Declarations by name; `overrides` are the settings given outside (`--set name=value`)."""

    source: Source
    path: Path | None
    blocks: dict[str, s.Block] = field(default_factory=dict)  # nets too
    nets: dict[str, s.Net] = field(default_factory=dict)
    optimizers: dict[str, s.Optimizer] = field(default_factory=dict)
    data: dict[str, s.Data] = field(default_factory=dict)
    consts: dict[str, Meaning] = field(default_factory=dict)
    trains: list[s.Train] = field(default_factory=list)
    generates: list[s.Generate] = field(default_factory=list)
    overrides: dict[str, Meaning] = field(default_factory=dict)
    used_overrides: set[str] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self.path.parent if self.path else Path()

    def lookup(self, name: str, library: bool = False) -> Meaning | None:
        """The user's blocks first, then constants, the library, words of the language. What stands
        in the `library` means there what it says, whatever names the user's file gives away."""
        if name in self.blocks and not library:
            return BlockRef(self.blocks[name], library=False)
        if name in self.consts and not library:
            return self.consts[name]
        block = library_block(name)
        if block is not None and not isinstance(block, s.Optimizer):
            return BlockRef(block, library=True)
        from .functions import FUNCTIONS  # functions need the scope, the scope needs the module

        if name in FUNCTIONS or name in registry():
            return Function(name)
        return WORDS.get(name)

    def known(self) -> Iterator[str]:
        from .functions import FUNCTIONS

        yield from self.blocks
        yield from self.consts
        yield from library_names()
        yield from FUNCTIONS
        yield from (name for name, op in registry().items() if not op.lowered)
        yield from WORDS

    def net(self, name: str | None = None) -> s.Net:
        """The net of that name, or the only one. Raises Failure E210, E211."""
        if name is None:
            if len(self.nets) == 1:
                return next(iter(self.nets.values()))
            if not self.nets:
                raise fail("E210", f"{self.source.name} has no net", help="add `net name { … }`")
            if self.trains:
                return self.net(self.trains[0].name.id)
            names = ", ".join(f"`{n}`" for n in self.nets)
            raise fail("E211", f"{self.source.name} has several nets: {names}", help="name one")
        if name not in self.nets:
            raise fail(
                "E210",
                f"there is no net `{name}` in {self.source.name}",
                help=did_you_mean(name, self.nets),
            )
        return self.nets[name]

    def optimizer(self, name: str) -> s.Optimizer | None:
        """The user's optimizer of that name, or the library's."""
        if name in self.optimizers:
            return self.optimizers[name]
        block = library_block(name)
        return block if isinstance(block, s.Optimizer) else None

    def unused_overrides(self) -> list[str]:
        """Names given with `--set` that no setting or constant answered to."""
        return [n for n in self.overrides if n not in self.used_overrides]


# ---------------------------------------------------------------- the standard library


@cache
def _library_index() -> dict[str, str]:
    """Block name -> file, by its header line: a file is parsed only when a block of it is used."""
    index = {}
    for entry in sorted(resources.files(_STDLIB).iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".net"):
            for match in _HEADER.finditer(entry.read_text(encoding="utf-8")):
                index[match[1]] = entry.name
    return index


_STDLIB = __package__.rsplit(".", 1)[0] + ".stdlib"


@cache
def _library_file(name: str) -> dict[str, s.Block]:
    text = (resources.files(_STDLIB) / name).read_text(encoding="utf-8")
    file = parse(Source(f"<chainrule>/stdlib/{name}", text))
    return {d.name.id: d for d in file.declarations if isinstance(d, s.Block)}


def library_names() -> list[str]:
    """Every block and optimizer of the standard library."""
    return list(_library_index())


def library_block(name: str) -> s.Block | None:
    """A block or optimizer of the standard library."""
    file = _library_index().get(name)
    return _library_file(file)[name] if file else None


# ---------------------------------------------------------------- reading files


def load_module(path: Path, overrides: Mapping[str, str] | None = None) -> Module:
    """Read and parse a `.net` file and what it imports.

    `overrides`: setting or constant -> the value as text, as in `--set classes=100`. Raises Failure
    with every diagnostic of every file.
    """
    with bounded():
        return _assemble(_read(path, None), path, overrides or {})


def parse_module(source: Source, overrides: Mapping[str, str] | None = None) -> Module:
    """The same for a text already in memory; imports are looked for in the working folder."""
    with bounded():
        return _assemble(parse(source), None, overrides or {})


def _read(path: Path, asked: s.Import | None) -> s.File:
    span = asked.path.span if asked else None
    if path.suffix != ".net":
        raise fail(
            "E203",
            f"`{path}` is not a `.net` file",
            span,
            help="networks live in files ending in `.net`",
        )
    return parse(read(path, span))


def _assemble(file: s.File, path: Path | None, overrides: Mapping[str, str]) -> Module:
    module = Module(file.source, path)
    for name, text in overrides.items():
        module.overrides[name] = _override(name, text)
    found: list[Diagnostic] = []
    places: dict[str, s.Declaration] = {}
    for declaration in _with_imports(file, path, found):
        try:
            _declare(module, declaration, places)
        except Failure as failure:
            found += failure.diagnostics
    if found:
        raise Failure(found)
    return module


def _override(name: str, text: str) -> Meaning:
    from .constants import constant_value

    value = parse_expression(Source(f"--set {name}", text))
    if isinstance(value, s.Name):
        return value.id
    return constant_value(value, None)


def _with_imports(
    file: s.File, path: Path | None, found: list[Diagnostic]
) -> Iterator[s.Declaration]:
    """Declarations, imported ones first; each file is read once, so cycles end by themselves."""
    seen = {path.resolve()} if path else set()
    stack: list[tuple[Iterator[s.Declaration], Path]] = [
        (iter(file.declarations), path.parent if path else Path())
    ]
    while stack:
        declarations, folder = stack[-1]
        declaration = next(declarations, None)
        if declaration is None:
            stack.pop()
        elif not isinstance(declaration, s.Import):
            # How an imported file trains its own nets is not this file's affair.
            if len(stack) == 1 or not isinstance(declaration, s.Train | s.Generate):
                yield declaration
        else:
            target = folder / declaration.path.value
            if target.resolve() in seen:
                continue
            seen.add(target.resolve())
            try:
                if len(seen) > MAX_IMPORTS:
                    raise fail(
                        "E204", f"more than {MAX_IMPORTS} files are imported", declaration.span
                    )
                imported = _read(target, declaration)
            except Failure as failure:
                found += failure.diagnostics
                continue
            stack.append((iter(imported.declarations), target.parent))


def _declare(module: Module, d: s.Declaration, places: dict[str, s.Declaration]) -> None:
    if isinstance(d, s.Train):
        module.trains.append(d)
        return
    if isinstance(d, s.Generate):
        module.generates.append(d)
        return
    name = d.name.id
    if name in places:
        first = places[name]
        raise fail(
            "E205",
            f"`{name}` is declared twice",
            d.name.span,
            note="again here",
            labels=(Label(first.name.span, "first declared here"),),
            help="give one of them another name",
        )
    places[name] = d
    if isinstance(d, s.Optimizer):
        module.optimizers[name] = d
    elif isinstance(d, s.Block):
        module.blocks[name] = d
        if isinstance(d, s.Net):
            module.nets[name] = d
    elif isinstance(d, s.Data):
        module.data[name] = d
    elif isinstance(d, s.Const):
        from .constants import constant_value

        if name in module.overrides:
            module.used_overrides.add(name)
            module.consts[name] = module.overrides[name]
        else:
            module.consts[name] = constant_value(d.value, module)
