"""How the threads of a block share folds: lanes and columns, and parts of long folds.

In: a stage with folds, how many results and terms there are, the tuning. Out: a `Team` and `Parts`.
Both follow from shapes alone, for the order of a sum follows from them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..plan import Stage
from .cuda_kernel import BATCH, WHOLE, Parts, Tuning, stride_of

_WARP = 32
_FEWEST = 4  # parts that are worth a second launch
_SECTOR = 8  # words that memory brings at least


@dataclass(frozen=True, slots=True)
class Team:
    """How threads share folds. `row_first`: neighbouring threads are lanes of one result (terms lie
    side by side); else they are neighbouring results."""

    lanes: int
    columns: int
    row_first: bool = True

    @property
    def lane(self) -> str:
        if self.lanes == 1:
            return "0"
        return f"t % {self.lanes}" if self.row_first else f"t // {self.columns}"

    @property
    def column(self) -> str:
        if self.columns == 1:
            return "0"
        return f"t // {self.lanes}" if self.row_first else f"t % {self.columns}"

    @property
    def apart(self) -> int:
        """From a lane's thread to the next lane's."""
        return 1 if self.row_first else self.columns


def choose_team(stage: Stage, results: int, terms: int, over: bool, tuning: Tuning) -> Team:
    """How many threads share a result: more where there are few results and many terms."""
    threads = tuning.threads
    if beside(stage, over):
        plenty = terms <= tuning.turns and results >= _WARP * tuning.spread
        if terms <= 4 or plenty:
            return Team(1, threads, row_first=False)
        columns = min(_WARP, power(results), threads)
        lanes = max(1, min(threads // columns, power(terms)))
        return Team(lanes, threads // lanes, row_first=False)
    if terms <= 4:
        return Team(1, threads)
    few = results <= 2 * tuning.spread
    lanes = min(power(terms), threads if few else _WARP, threads)
    return Team(lanes, threads // lanes)


def team_of(stage: Stage, results: int, terms: int, over: bool, threads: int) -> Team:
    """The same for a block that does all results of an example by itself."""
    if not beside(stage, over):
        lanes = min(threads, power(terms))
        return Team(lanes, threads // lanes)
    lanes = min(threads // min(_WARP, power(results), threads), power(terms))
    return Team(lanes, threads // lanes, row_first=False)


def adders(results: int, parts: Parts, tuning: Tuning) -> Team:
    """Who adds the parts of folds: neighbours take neighbouring results, at least as many as memory
    brings at a time."""
    lanes = min(max(1, tuning.threads // _SECTOR), power(parts.count))
    return Team(lanes, min(tuning.threads // lanes, power(results)), row_first=False)


def choose_fold_parts(stage: Stage, results: int, terms: int, team: Team, tuning: Tuning,
                      dtypes: set[str]) -> Parts:  # fmt: skip
    """Parts of the terms that different blocks fold, where few results have very many."""
    whole = any(f.kind == "argmax" for f in stage.folds) or len(dtypes) != 1
    if whole or terms <= tuning.turns * team.lanes:
        return WHOLE
    groups = -(-results // team.columns)
    count = min(2 * tuning.spread // groups, 4 * terms // (team.lanes * tuning.turns))
    if count < _FEWEST:
        return WHOLE
    length = -(-terms // (count * team.lanes)) * team.lanes
    itemsize = 8 if dtypes == {"f64"} else 4
    return Parts(-(-terms // length), length, len(stage.folds) * results, itemsize)


def beside(stage: Stage, over: bool) -> bool:
    """Whether neighbouring results lie side by side in memory rather than neighbouring terms."""
    cut = len(stage.axes) - stage.folds[0].axes
    kept = [k for k in range(cut) if stage.axes[k] > 1]
    folded = [k for k in range(cut, len(stage.axes)) if stage.axes[k] > 1]
    if not folded:
        return True
    if not kept and over:
        return False
    result, term = kept[-1] if kept else BATCH, folded[-1]
    votes = 0
    for access in stage.reads:
        near, far = (abs(stride_of(access, k)) == 1 for k in (result, term))
        votes += 1 if near else -far  # windows along the last axis have both: no lanes to join
    return votes > 0


def power(n: int) -> int:
    """The smallest power of two that is not below n."""
    return 1 << max(0, n - 1).bit_length()
