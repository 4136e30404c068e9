"""Random convolutional nets as `.net` text: odd sizes, strides, dilation, groups, shortcuts."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

Shape = tuple[int, int, int]
POINTS = ("relu({x})", "tanh({x})", "dropout({x}, 0.25)", "gelu({x})", "{x} * sigmoid({x})",
          "batchnorm({x})", "instancenorm({x})", "groupnorm({x}, 1)", "lrn({x}, 3)",
          "spatial_dropout({x}, 0.2)", "{x} - mean({x}, over = batch)",
          "{x} * mean({x}, axis = (1, 2), keep = true)", "leaky_relu({x})")  # fmt: skip
CHANNELS = (1, 2, 3, 4, 6, 17)
MOST = 1500  # elements of an image: kernels of f64 are checked element by element


@dataclass
class Draft:
    lines: list[str] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def add(self, expression: str, shape: Shape) -> None:
        if shape[0] * shape[1] * shape[2] > MOST:
            return
        name = f"v{len(self.shapes)}"
        self.lines.append(f"  {name} = {expression}")
        self.shapes[name] = shape


@st.composite
def image_nets(draw: st.DrawFn, most: int = 6) -> str:
    """The text of a net with an image, a label, and one loss."""
    d = Draft()
    start: Shape = (draw(st.sampled_from((1, 2, 3, 4))), draw(st.integers(4, 9)),
                    draw(st.integers(4, 9)))  # fmt: skip
    d.shapes["image"] = start
    for _ in range(draw(st.integers(2, most))):
        step = draw(st.sampled_from((_conv, _conv, _conv, _point, _pool, _other, _pair)))
        step(draw, d)
    last = list(d.shapes)[-1]
    end = draw(st.sampled_from(("global_avg_pool", "flat", "global_max_pool")))
    body = "\n".join(d.lines)
    return f"""
net random {{
  input image: [{start[0]}, {start[1]}, {start[2]}]
  input label: class[3]
{body}
  scores = {last} -> {end} -> dense(3)
  output softmax(scores)
  loss cross_entropy(scores, label)
  metric accuracy(scores, label)
}}
train random on digits() {{
  optimizer adam(lr = 0.01)
  batch 5
}}
"""


def _picked(draw: st.DrawFn, d: Draft) -> tuple[str, Shape]:
    """The latest value, mostly."""
    names = list(d.shapes)
    x = names[-1] if draw(st.integers(0, 3)) else draw(st.sampled_from(names))
    return x, d.shapes[x]


def _size(n: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> int:
    if padding == "same":
        return -(-n // stride)
    room = n + 2 * (0 if padding == "valid" else int(padding)) - dilation * (kernel - 1) - 1
    return room // stride + 1 if room >= 0 else 0


def _conv(draw: st.DrawFn, d: Draft) -> None:
    x, (c, h, w) = _picked(draw, d)
    kernel, stride = draw(st.sampled_from((1, 2, 3, 5))), draw(st.sampled_from((1, 1, 2, 3)))
    dilation = draw(st.sampled_from((1, 1, 2)))
    padding = draw(st.sampled_from(("same", "valid", "1")))
    sizes = [_size(n, kernel, stride, padding, dilation) for n in (h, w)]
    if min(sizes) < 1:
        return
    options = f"stride = {stride}, padding = {padding}, dilation = {dilation}"
    if draw(st.integers(0, 4)) == 0:
        d.add(f"{x} -> depthwise_conv({kernel}, {options})", (c, sizes[0], sizes[1]))
        return
    groups = draw(st.sampled_from([g for g in (1, 1, 2, 3) if c % g == 0]))
    units = groups * draw(st.sampled_from((1, 2, 3, 5)))
    d.add(f"{x} -> conv({units}, {kernel}, {options}, groups = {groups})",
          (units, sizes[0], sizes[1]))  # fmt: skip


def _point(draw: st.DrawFn, d: Draft) -> None:
    x, shape = _picked(draw, d)
    d.add(draw(st.sampled_from(POINTS)).format(x=x), shape)


def _pool(draw: st.DrawFn, d: Draft) -> None:
    x, (c, h, w) = _picked(draw, d)
    kind = draw(st.sampled_from(("max_pool", "avg_pool")))
    size, stride = draw(st.sampled_from(((2, 2), (3, 2), (2, 1), (3, 3))))
    padding = draw(st.sampled_from(("0", "1", "same")))
    sizes = [_size(n, size, stride, padding) for n in (h, w)]
    if min(sizes) < 1:
        return
    d.add(f"{x} -> {kind}({size}, stride = {stride}, padding = {padding})",
          (c, sizes[0], sizes[1]))  # fmt: skip


def _other(draw: st.DrawFn, d: Draft) -> None:
    x, (c, h, w) = _picked(draw, d)
    kind = draw(st.integers(0, 3))
    if kind == 0:
        d.add(f"{x} -> upsample(2)", (c, 2 * h, 2 * w))
    elif kind == 1:
        stride = draw(st.sampled_from((1, 2)))
        d.add(f"{x} -> conv_transpose(2, 3, stride = {stride})", (2, stride * h, stride * w))
    elif kind == 2:
        other = [y for y, s in d.shapes.items() if s[1:] == (h, w)]
        y = draw(st.sampled_from(other))
        d.add(f"concat({x}, {y})", (c + d.shapes[y][0], h, w))
    else:
        low = draw(st.integers(0, h - 1))
        d.add(f"{x}[:, {low}:, :]", (c, h - low, w))


def _pair(draw: st.DrawFn, d: Draft) -> None:
    x, shape = _picked(draw, d)
    same = [y for y, s in d.shapes.items() if s == shape]
    word = draw(st.sampled_from(("{x} + {y}", "{x} * tanh({y})", "max({x}, {y})")))
    d.add(word.format(x=x, y=draw(st.sampled_from(same))), shape)
