"""Write tests/reference/*.npz: what PyTorch computes for recurrent layers, attention and losses.

Run it where torch 2.13 is installed, `python scripts/references.py`; tests read the files only. All
numbers are double precision. A file has one record for each case, whose fields are arrays:
`np.load("lstm.npz")["both"]["param/ahead.Wf"]`, names in `.dtype.names`. `given/x` is what goes in,
`param/Wf` a parameter by our name for it, `result/hs` what comes out, `factor/hs` a constant F of
that shape for one example, and `grad/x`, `grad/Wf` gradients of

    L = mean over the batch of the sum over the results of sum(F * result).

What is given has the batch first ([3, ...]), and so has its gradient; parameters have none.

rnn.npz, lstm.npz, gru.npz: x [3, T = 5, n = 3], 4 units; results hs [3, 5, units], last [3, units],
of a single LSTM layer also cell [3, units].

| case | PyTorch | parameters |
| --- | --- | --- |
| one | one layer | `W`, ... |
| started | one layer from `given/start` (and `given/start_cell`) [3, 4] | `W`, ... |
| two | num_layers=2; `hs` and `last` are the upper layer's | `0.W`, ..., `1.W`, ... |
| both | bidirectional=True, hs [3, 5, 8], last [3, 8]: ahead, then back | `ahead.W`, `back.W` |
| lengths | one layer, packed sequences of `given/lengths` steps, hs 0 behind | `W`, ... |
| both_lengths | bidirectional=True, packed | `ahead.W`, ..., `back.W`, ... |
| two_lengths | num_layers=2, packed | `0.W`, ..., `1.W`, ... |
| truncated | one layer; the state is detached before steps 2 and 4 | `W`, ... |

PyTorch keeps the gates in rows of weight_ih [gates * units, n], weight_hh [gates * units, units]
and of two biases. Ours, with Wx, Wh, bx and bh for the gate's rows of the four:

| layer | PyTorch's order | ours |
| --- | --- | --- |
| rnn | | W = [Wh, Wx], as the product is with [h; x]; b = bx + bh |
| lstm | i f g o | Wi, Wf, Wc, Wo = [Wh, Wx]; bi, bf, bc, bo = bx + bh |
| gru | r z n | Wr, Wz = [Wh, Wx]; br, bz = bx + bh; Wn = Wx, Un = Wh, bn = bx, cn = bh |

attention.npz: query [3, d = 4] or queries [3, T = 2, 4], keys [3, S = 5, 4], values [3, 5, m = 3];
results context and weights, torch's own `scaled_dot_product_attention` and the same written out.
Cases: one (a query), many (queries), unscaled (a query), masked, many_masked (`given/mask` [3, 5],
bool). additive.npz: query [3, 4], keys [3, 5, 6], values [3, 5, 3], parameters Wq [7, 4],
Wk [7, 6], v [7]; cases one and masked.

losses.npz: scores [3, 5, 6] and labels [3, 5]; result `loss`, for each example [3]: the mean over
its steps (case one), or over its first `given/lengths` steps (case masked).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

OUT = Path(__file__).parents[1] / "tests" / "reference"
BATCH, STEPS, INPUTS, UNITS = 3, 5, 3, 4
LENGTHS = (5, 2, 3)
Arrays = dict[str, NDArray[np.generic]]
Tensors = dict[str, Tensor]
LAYERS: dict[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
GATES = {"rnn": ("",), "lstm": ("i", "f", "c", "o"), "gru": ("r", "z", "n")}
CASES: dict[str, dict[str, bool]] = {
    "one": {},
    "started": {"started": True},
    "two": {"two": True},
    "both": {"both": True},
    "lengths": {"packed": True},
    "both_lengths": {"both": True, "packed": True},
    "two_lengths": {"two": True, "packed": True},
    "truncated": {"truncated": True},
}


def main() -> None:
    torch.set_default_dtype(torch.float64)
    OUT.mkdir(exist_ok=True)
    for kind in LAYERS:
        torch.manual_seed(1)
        write(kind, {case: recurrent(kind, **how) for case, how in CASES.items()})
    torch.manual_seed(2)
    ways = {
        "one": {}, "many": {"many": True}, "unscaled": {"scaled": False},
        "masked": {"masked": True}, "many_masked": {"many": True, "masked": True},
    }  # fmt: skip
    write("attention", {case: attention(**how) for case, how in ways.items()})
    write("additive", {"one": additive(masked=False), "masked": additive(masked=True)})
    write("losses", {"one": losses(masked=False), "masked": losses(masked=True)})


def write(name: str, cases: Mapping[str, Arrays]) -> None:
    np.savez_compressed(OUT / f"{name}.npz", **{case: record(a) for case, a in cases.items()})


def record(arrays: Arrays) -> NDArray[np.void]:
    """Small arrays under names, with one header."""
    dtype = np.dtype([(name, a.dtype, a.shape) for name, a in arrays.items()])
    found = np.zeros((), dtype)
    for name, a in arrays.items():
        found[name] = a
    return found


def numbers(given: Tensors, params: Tensors, results: Callable[[], Tensors]) -> Arrays:
    """Results and gradients of leaves, everything by its name in the file."""
    out = results()
    factors = {name: torch.randn(r.shape[1:]) for name, r in out.items()}
    sum((factors[name] * r).sum() for name, r in out.items()).div(BATCH).backward()
    parts = {"given": given, "param": params, "result": out, "factor": factors}
    found = {f"{part}/{k}": v.detach().numpy() for part, vs in parts.items() for k, v in vs.items()}
    for name, value in {**given, **params}.items():
        if value.grad is not None:
            found[f"grad/{name}"] = value.grad.numpy()
    return found


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape).requires_grad_()


def recurrent(
    kind: str,
    *,
    started: bool = False,
    two: bool = False,
    both: bool = False,
    packed: bool = False,
    truncated: bool = False,
) -> Arrays:
    layer = LAYERS[kind](INPUTS, UNITS, 1 + two, batch_first=True, bidirectional=both)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape) * 0.7)
    given = {"x": drawn(BATCH, STEPS, INPUTS)}
    if started:
        given["start"] = drawn(BATCH, UNITS)
        if kind == "lstm":
            given["start_cell"] = drawn(BATCH, UNITS)
    if packed:
        given["lengths"] = torch.tensor(LENGTHS)

    def results() -> Tensors:
        if truncated:
            hs, end = in_pieces(layer, given["x"], 2)
        elif packed:
            x = pack_padded_sequence(given["x"], given["lengths"], True, enforce_sorted=False)
            states, end = layer(x)
            hs = pad_packed_sequence(states, batch_first=True, total_length=STEPS)[0]
        else:
            start = [given[n].unsqueeze(0) for n in ("start", "start_cell") if n in given]
            hs, end = layer(
                given["x"], (tuple(start) if start[1:] else start[0]) if start else None
            )
        last, *cell = (torch.cat(list(e[-2:] if both else e[-1:]), 1) for e in of(end))
        return {"hs": hs, "last": last} | ({"cell": cell[0]} if cell and not (two or both) else {})

    found = numbers(given, {}, results)
    prefixes = ("0.", "1.") if two else ("ahead.", "back.") if both else ("",)
    suffixes = ("_l0", "_l1") if two else ("_l0", "_l0_reverse") if both else ("_l0",)
    for prefix, suffix in zip(prefixes, suffixes, strict=True):
        theirs = [
            getattr(layer, name + suffix)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        for name, value in ours(kind, [p.detach() for p in theirs], summed=True).items():
            found[f"param/{prefix}{name}"] = value
        for name, value in ours(kind, [p.grad for p in theirs], summed=False).items():
            found[f"grad/{prefix}{name}"] = value
    return found


def of(end: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The last h, and of an LSTM the last c."""
    return end if isinstance(end, tuple) else (end,)


def in_pieces(layer: nn.RNNBase, x: Tensor, size: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The states of all steps, their gradient cut before each piece, and the last ones."""
    found, end = [], None
    for piece in x.split(size, 1):
        hs, end = layer(piece, end)
        found.append(hs)
        last = of(end)
        cut = tuple(e.detach() for e in last)
        end = cut if len(cut) > 1 else cut[0]
    return torch.cat(found, 1), last


def ours(kind: str, theirs: list[Tensor], *, summed: bool) -> Arrays:
    """Parameters, or gradients, in our form. The gradient by a sum of biases is that by either."""
    rows = [list(p.chunk(len(GATES[kind]))) for p in theirs]
    found: Tensors = {}
    for gate, wx, wh, b, c in zip(GATES[kind], *rows, strict=True):
        if gate == "n":
            found |= {"Wn": wx, "Un": wh, "bn": b, "cn": c}
        else:
            found |= {f"W{gate}": torch.cat([wh, wx], 1), f"b{gate}": b + c if summed else b}
    return {name: value.numpy() for name, value in found.items()}


def attention(*, many: bool = False, scaled: bool = True, masked: bool = False) -> Arrays:
    d = 4
    given = {
        "query": drawn(BATCH, 2, d) if many else drawn(BATCH, d),
        "keys": drawn(BATCH, 5, d),
        "values": drawn(BATCH, 5, 3),
    }
    seen = torch.ones(BATCH, 5, dtype=torch.bool)
    if masked:
        seen = given["mask"] = torch.arange(5) < torch.tensor(LENGTHS)[:, None]

    def results() -> Tensors:
        query = given["query"] if many else given["query"].unsqueeze(1)
        scores = query @ given["keys"].mT / (d**0.5 if scaled else 1)
        weights = torch.softmax(scores.masked_fill(~seen.unsqueeze(1), -torch.inf), -1)
        context = functional.scaled_dot_product_attention(
            query, given["keys"], given["values"], seen.unsqueeze(1).expand(scores.shape),
            scale=None if scaled else 1.0,
        )  # fmt: skip
        torch.testing.assert_close(context, weights @ given["values"], rtol=1e-12, atol=1e-12)
        if many:
            return {"context": context, "weights": weights}
        return {"context": context.squeeze(1), "weights": weights.squeeze(1)}

    return numbers(given, {}, results)


def additive(*, masked: bool) -> Arrays:
    given = {"query": drawn(BATCH, 4), "keys": drawn(BATCH, 5, 6), "values": drawn(BATCH, 5, 3)}
    params = {"Wq": drawn(7, 4), "Wk": drawn(7, 6), "v": drawn(7)}
    if masked:
        given["mask"] = torch.arange(5) < torch.tensor(LENGTHS)[:, None]

    def results() -> Tensors:
        hidden = functional.linear(given["query"], params["Wq"]).unsqueeze(1)
        scores = torch.tanh(hidden + functional.linear(given["keys"], params["Wk"])) @ params["v"]
        if masked:
            scores = scores.masked_fill(~given["mask"], -torch.inf)
        weights = torch.softmax(scores, -1)
        return {"context": (weights.unsqueeze(1) @ given["values"]).squeeze(1), "weights": weights}

    return numbers(given, params, results)


def losses(*, masked: bool) -> Arrays:
    given = {"scores": drawn(BATCH, STEPS, 6), "labels": torch.randint(6, (BATCH, STEPS))}
    if masked:
        given["lengths"] = torch.tensor(LENGTHS)
    ends = LENGTHS if masked else (STEPS,) * BATCH

    def results() -> Tensors:
        pairs = zip(given["scores"], given["labels"], ends, strict=True)
        return {"loss": torch.stack([functional.cross_entropy(z[:n], y[:n]) for z, y, n in pairs])}

    return numbers(given, {}, results)


if __name__ == "__main__":
    main()
