"""PyTorch with torch.compile over the net and its loss, images channels-last.

Recurrent layers: by default it leaves them to the eager kernels and compiles what is around them.
Told to trace them (`allow_rnn`) it unrolls all steps, which takes it a minute and a half on row h
and makes the step faster; it does so here for the GRU and the RNN. It cannot for the LSTM: the code
that it writes for oneDNN's layer fails (torch 2.13: "expected Tensor() for mkldnn_rnn_layer"), and
without oneDNN the unrolled LSTM is slower than the eager one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..rows import Row
from . import torch_


def make(row: Row) -> Callable[[int], torch.Tensor]:
    traced = any(layer[0] in ("gru", "rnn") for layer in row.layers)
    torch._dynamo.config.allow_rnn = traced
    return torch_.make(row, channels_last=row.is_image, compiled=True)
