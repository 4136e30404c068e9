"""Which comments document which declaration.

In: declarations and comments. Out: the declarations with their `doc`: the comment block directly
above, or, for one with a body, the block that opens the body.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from .syntax import Block, Comment, Declaration, Generate, Train


def attach(
    declarations: Sequence[Declaration], comments: Sequence[Comment]
) -> tuple[Declaration, ...]:
    """Each declaration with its documentation."""
    own = [comment for comment in comments if comment.own_line]
    starts = [comment.span.start for comment in own]
    lines = [comment.span.line for comment in own]
    described = []
    for declaration in declarations:
        first = bisect_left(starts, declaration.span.start)
        doc = _above(own, lines, first, declaration.span.line)
        if not doc and isinstance(declaration, Block | Train | Generate):
            doc = _inside(own, lines, first, declaration)
        described.append(replace(declaration, doc=doc))
    return tuple(described)


def _above(own: Sequence[Comment], lines: Sequence[int], end: int, line: int) -> str:
    begin = end
    while begin > 0 and lines[begin - 1] == line - (end - begin) - 1:
        begin -= 1
    return "\n".join(comment.text for comment in own[begin:end])


def _inside(
    own: Sequence[Comment], lines: Sequence[int], first: int, block: Block | Train | Generate
) -> str:
    """The comments after the opening brace and before the first statement, up to a gap."""
    begin = block.span.source.text.find("{", _header_end(block))
    limit = block.body[0].span.start if block.body else block.span.end
    texts: list[str] = []
    for place in range(first, len(own)):
        comment = own[place]
        if comment.span.start >= limit or (texts and lines[place] != lines[place - 1] + 1):
            break
        if comment.span.start > begin:
            texts.append(comment.text)
    return "\n".join(texts)


def _header_end(block: Block | Train | Generate) -> int:
    """Where the last part before the opening brace ends."""
    if isinstance(block, Block):
        return (block.settings[-1] if block.settings else block.name).span.end
    if isinstance(block, Generate):
        return block.net.span.end
    return (block.bindings[-1].span if block.bindings else block.data.span).end
