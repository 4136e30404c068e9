"""Any stage to pictures and derivations: DOT, SVG, PNG, PDF, text, Markdown, LaTeX.

`draw` gives a view of a graph as DOT text, `render` a file, `svg` a text for notebooks;
derivations are made by `derive.derive` and written by `derive_text`, `derive_markdown` and
`derive_latex`; `curves.curves` draws a training history.
"""

from .render import svg
from .views import VIEWS, draw

__all__ = ["VIEWS", "draw", "svg"]
