"""How near generated texts are to what was to be said: exact matches, and BLEU.

BLEU is sacrebleu's (Post, 2018), an optional part: `pip install chainrule[bleu]`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...dsl.diagnostics import fail

MEASURES = ("exact", "bleu")


def exact(texts: Sequence[str], wanted: Sequence[str]) -> float:
    """The share of texts that are as they should be."""
    return sum(t == w for t, w in zip(texts, wanted, strict=True)) / max(1, len(wanted))


def bleu(texts: Sequence[str], wanted: Sequence[str]) -> tuple[float, str]:
    """BLEU of the whole set, 0 to 100, and sacrebleu's signature. Raises Failure E574."""
    require_bleu()
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU()
    score = metric.corpus_score(list(texts), [list(wanted)])
    return float(score.score), str(metric.get_signature())


def require_bleu() -> None:
    """Raise E574 where the library is missing, before anything takes long."""
    from importlib.util import find_spec

    if find_spec("sacrebleu") is None:
        raise fail("E574", "BLEU is computed by sacrebleu, which is not installed",
                   help="`pip install chainrule[bleu]`")  # fmt: skip
