"""The backward view as inline SVG whose nodes a page can find, in colours that follow its theme.

In: a `Drawn` of the view. Out: SVG text in which node n3 of diagram `net` has the id `net-n3`, can
be reached by keyboard and says what it is; the style sheet that turns its colours dark.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from ..render import svg
from ..style import THEMES

MOST = 2000  # nodes: nobody reads them all, for the page shows one after another
_NODE = re.compile(
    r'<g id="\w+" class="node">\s*<title>(\w+)</title>(.*?)</g>\s*(?=<!-- |</g>\s*</svg>)',
    re.DOTALL,
)
_TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")


def inline(dot: str, prefix: str, known: Iterable[str]) -> str:
    """The picture, of whose nodes `known` are linked."""
    linked = set(known)
    text = svg(dot, limit=MOST)
    text = text[text.index("<svg") :]
    text = re.sub(r"<g id=\"edge\d+\"", "<g", text)
    text = re.sub(r'<g id="(graph|clust)\d+"', "<g", text)
    text = re.sub(r'(<g class="(?:edge|graph|cluster)"[^>]*>\s*)<title>.*?</title>', r"\1", text)

    def node(found: re.Match[str]) -> str:
        words = " ".join(_TEXT.findall(found[2])).replace("\xa0", " ")
        label = html.escape(html.unescape(words), quote=True)
        inside = re.sub(r'<g id="[^"]*">|</g>|</?a[^>]*>', "", found[2]).strip()
        role = ' role="button" tabindex="0"' if found[1] in linked else ' role="img"'
        return f'<g id="{prefix}-{found[1]}" class="node"{role} aria-label="{label}">{inside}</g>\n'

    text = _NODE.sub(node, text)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    # The page gives it its size.
    size = re.search(r'width="(\d+)pt" height="(\d+)pt"', text)
    assert size is not None
    head = f'width="{size[1]}" height="{size[2]}" class="net"'
    return text.replace(size[0], head, 1)


def dark_colours(selector: str) -> str:
    """CSS rules: what is painted light becomes what the dark theme paints."""
    light, dark = THEMES["light"], THEMES["dark"]
    pairs = {light.background: dark.background, light.ink: dark.ink, light.faint: dark.faint,
             light.gradient: dark.gradient}  # fmt: skip
    for meaning, paint in light.paints.items():
        pairs.setdefault(paint.fill, dark.paints[meaning].fill)
        pairs.setdefault(paint.line, dark.paints[meaning].line)
    rules = []
    for day, night in pairs.items():
        for shade in dict.fromkeys((day, day.lower())):
            rules.append(f'{selector} [fill="{shade}"]{{fill:{night}}}')
            rules.append(f'{selector} [stroke="{shade}"]{{stroke:{night}}}')
    rules.append(f"{selector} text:not([fill]){{fill:{dark.ink}}}")
    rules.append(f'{selector} [stroke="black"]{{stroke:{dark.ink}}}')
    rules.append(f'{selector} [fill="black"]{{fill:{dark.ink}}}')
    return "\n".join(rules)
