"""Names as they are taken apart for print: base letter, accent, subscript.

In: a name as it stands in a program (`W_1`, `y_hat`, `alpha`). Out: its parts. `unicode` and
`latex` put them together again.
"""

from __future__ import annotations

import re

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "ell": "ℓ",
}  # fmt: skip
HATS = {"hat": ("\u0302", r"\hat"), "bar": ("\u0304", r"\bar"), "tilde": ("\u0303", r"\tilde")}
_NUMBERED = re.compile(r"^(.*?[^\d_.])_?(\d+|ℓ(?:[−+]\d+)?)$")


def split_name(name: str) -> tuple[str, str, str]:
    """(base, accent, subscript) of a name: `y_hat` is y with a hat, `W1` and `W_1` are W₁."""
    sub = ""
    found = _NUMBERED.match(name)
    if found:
        name, sub = found.groups()
    accent = next((a for a in HATS if re.fullmatch(rf"[A-Za-z]_?{a}", name)), "")
    if accent:
        name = name[0]
    return GREEK.get(name, name), accent, sub
