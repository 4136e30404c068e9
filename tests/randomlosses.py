"""Random nets with several losses as `.net` text: who shares what, who learns what, how often."""

from __future__ import annotations

from hypothesis import strategies as st

POINTS = ("tanh", "relu", "leaky_relu(0.2)", "softplus", "batchnorm", "layernorm", "dropout(0.3)",
          "gaussian_noise(0.2)", "prelu", "sigmoid", "linear")  # fmt: skip
IMAGE_POINTS = ("tanh", "leaky_relu(0.2)", "batchnorm", "instancenorm", "spatial_dropout(0.3)",
                "relu")  # fmt: skip
OPTIMIZERS = ("sgd(0.05)", "sgd(0.05, decay = 0.01)", "momentum(0.05)", "heavy_ball(0.05)",
              "nesterov(0.05)", "adagrad(0.05)", "rmsprop(0.01)", "adadelta(0.5)", "adam(0.02)",
              "adam(0.01, beta1 = 0.5)", "adamw(0.02)")  # fmt: skip
SIZES = (1, 2, 3, 5, 7, 11)
# What a loss may be made of: G makes x of z, D scores x, C makes k numbers of x.
TERMS = (
    "softplus(-D(x))", "softplus(D(fake))", "softplus(-D(fake))", "D(stop_gradient(fake))^2",
    "-D(fake) * 0.3", "0.3 * (D(fake) - D(x))", "mean((G(code) - x)^2)", "kl_normal(code, spread)",
    "mean((G(code + exp(0.1 * tanh(spread)) * normal([K])) - x)^2)",
    "0.2 * mean((U @ tanh(T @ code) - z)^2)", "0.2 * mean((T @ (T @ z))^2)",
    "0.1 * (sqrt(sum(grad(D(between), between)^2) + 1e-6) - 1)^2",
    "mean((C(fake) - z)^2)", "cross_entropy(H(code), label)", "mean((gather(E, label) - code)^2)",
    "0.1 * sum(code * gather(E, label))", "0.1 * sum((bernoulli(sigmoid(code)) - z) * code)",
    "mean(tanh(one_hot(categorical(scores = H(z))) * H(code)))", "mean(tanh(C(x) * z))",
    "0.1 * mean((C(stop_gradient(fake)) - uniform([K], -1, 1))^2)", "mean(tanh(E))^2",
    "0.1 * sum(tanh(W1 @ code) * tanh(W1' @ z))", "0.2 * mean(fake * x)",
)  # fmt: skip
PARTS = ("G", "D", "C", "H", "T", "E", "W1", "G, C", "D, C", "D, T, E", "G, D, C, H, T, E, W1")


@st.composite
def several_losses(draw: st.DrawFn) -> str:
    """The text of a net with an input x, a label, and a `train` of one to three lines."""
    k = draw(st.sampled_from(SIZES))
    shape, blocks = draw(st.sampled_from((_vectors, _vectors, _images)))(draw, k)
    count = draw(st.integers(2, 3))
    losses, used = [], ""
    for number in range(count):
        terms = draw(st.lists(st.sampled_from(TERMS), min_size=1, max_size=3, unique=True))
        used += " ".join(terms)
        losses.append(f"  loss l{number} = {' + '.join(terms)}".replace("K", str(k)))
    lines = []
    for number in range(count):
        over = draw(st.sampled_from((*PARTS, "")))
        turns = draw(st.sampled_from((1, 1, 2, 3)))
        lines.append(
            f"  {f'repeat {turns} ' if turns > 1 else ''}minimize l{number}"
            f"{f' over {over}' if over else ''} with {draw(st.sampled_from(OPTIMIZERS))}"
        )
    for setting in ("clip 0.5", "clip(value = 0.05)", "freeze C", "freeze G", "freeze D.s.W, T",
                    "optimizer adam(0.01) for D.*", "checkpointing auto",
                    "checkpointing 3"):  # fmt: skip
        if draw(st.integers(0, 6)) == 6:
            lines.append(f"  {setting}")
    losses_text, lines_text = "\n".join(losses), "\n".join(lines)
    return f"""{blocks}
net random {{
  input x: {shape}
  input label: class[3]
  param T: [{k}, {k}] ~ glorot decay 0.01
  param W1: [{k}, {k}] ~ glorot
  param U: [{k}, {k}] tied to T'
  param E: [3, {k}] ~ normal(std = 0.5)
  G = maker(0)
  D = judge(0)
  C = coder(0)
  H = chooser(0)
  z = normal([{k}])
  fake = G(z)
  epsilon = uniform([])
  between = epsilon * x + (1 - epsilon) * fake
  code = C(x)
  spread = tanh(code) * 0.5
{losses_text}
  metric caught = sigmoid(D(fake))
  metric size = mean(E) + mean(H(code)) + mean(T) + mean(W1)
  output fake
}}
train random on digits() {{
{lines_text}
  batch 5
}}
"""


def _chain(draw: st.DrawFn, points: tuple[str, ...], most: int = 2) -> str:
    return "".join(f" -> {p}" for p in draw(st.lists(st.sampled_from(points), max_size=most)))


def _dense(draw: st.DrawFn) -> str:
    """None or one hidden layer."""
    if draw(st.booleans()):
        return ""
    return f" -> dense({draw(st.sampled_from(SIZES))}){_chain(draw, POINTS)}"


def _blocks(maker: str, judge: str, coder: str, chooser: str) -> str:
    bodies = {
        "maker": f"  output x{maker}",
        "judge": f"  s = x{judge} -> dense(1)\n  output s[0]",
        "coder": f"  output x{coder}",
        "chooser": f"  output x{chooser} -> dense(3)",
    }
    return "\n".join(
        f"block {name}(unused) {{\n  input x: [...]\n{body}\n}}" for name, body in bodies.items()
    )


def _vectors(draw: st.DrawFn, k: int) -> tuple[str, str]:
    n = draw(st.sampled_from(SIZES))
    ends = [f"{_dense(draw)} -> dense({size}){_chain(draw, POINTS, 1)}" for size in (n, k)]
    return f"[{n}]", _blocks(ends[0], _dense(draw), ends[1], _dense(draw))


def _images(draw: st.DrawFn, k: int) -> tuple[str, str]:
    """G enlarges by transposed convolutions, D and C halve by strided ones."""
    c, h, w = (draw(st.sampled_from(s)) for s in ((1, 2, 3), (2, 4, 6), (2, 4)))
    wide = draw(st.sampled_from((1, 2, 3, 5)))
    kernel, padding = draw(st.sampled_from(((4, "1"), (2, "0"), (3, "same"))))
    maker = (
        f" -> dense({wide * h * w // 4}) -> reshape([{wide}, {h // 2}, {w // 2}])"
        f"{_chain(draw, IMAGE_POINTS)}"
        f" -> conv_transpose({c}, {kernel}, stride = 2, padding = {padding})"
        f"{_chain(draw, IMAGE_POINTS, 1)}"
    )
    if draw(st.booleans()):
        maker += f" -> conv({c}, 3)"
    judge, coder = (_halving(draw) for _ in range(2))
    return f"[{c}, {h}, {w}]", _blocks(maker, judge, f"{coder} -> dense({k})", _dense(draw))


def _halving(draw: st.DrawFn) -> str:
    kernel, padding = draw(st.sampled_from(((4, "1"), (3, "same"), (2, "0"))))
    units = draw(st.sampled_from((1, 2, 4, 6)))
    first = f" -> conv({units}, {kernel}, stride = 2, padding = {padding})"
    return f"{first}{_chain(draw, IMAGE_POINTS)} -> flat"


# What is most easily got wrong, in one net: kernels of convolutions and rows of tables that change
# between their uses, a tied matrix, lines over the same parameters, turns with draws, a penalty,
# and a number that reads a parameter when its update has long been ready.
HARDEST = """
block maker(wide) {
  input x: [...]
  a = x -> dense(4 * wide) -> reshape([wide, 2, 2]) -> batchnorm -> leaky_relu(0.2)
  output a -> conv_transpose(2, 4, stride = 2, padding = 1) -> conv(2, 3) -> tanh
}
block judge(wide) {
  input x: [...]
  s = x -> conv(wide, 3, stride = 2) -> batchnorm -> tanh -> flat -> dense(1)
  output s[0]
}
net hardest {
  input x: [2, 4, 4]
  input label: class[3]
  param T: [5, 5] ~ glorot decay 0.01
  param U: [5, 5] tied to T'
  param E: [3, 5] ~ normal(std = 0.5)
  G = maker(3)
  D = judge(4)
  z = normal([5])
  row = gather(E, label)
  fake = G(U @ tanh(T @ (z + row)))
  epsilon = uniform([])
  between = epsilon * x + (1 - epsilon) * fake
  slope = grad(D(between), between)
  loss d_loss = D(fake) - D(x) + 0.3 * (sqrt(sum(slope^2) + 1e-6) - 1)^2
  loss g_loss = 0.1 * mean(row^2) - D(fake)
  loss t_loss = mean((U @ (T @ row) - z)^2) + mean(bernoulli(sigmoid(row)) * (T @ z))
  metric caught = sigmoid(D(fake))
  far = D(G(D(G(D(G(D(G(D(fake) * z)) * z)) * z)) * z))
  metric late = far
  output fake
}
train hardest on digits() {
  repeat 2 minimize d_loss over D with adam(0.02, beta1 = 0.5)
  minimize g_loss over G, E with momentum(0.05)
  minimize t_loss over T, E with adam(0.02)
  clip 2.0
  batch 5
}
"""
