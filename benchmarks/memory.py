"""Predicted and measured memory: `python -m benchmarks.memory FILE… [--data FOLDER] [--epochs N]`.

For each `.net` file, `summary` predicts the peak of a training process, and a fresh process trains
it: again, until no kernel has to be compiled in the one that counts. Printed are both peaks
(`ru_maxrss`) and their ratio.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

RUN = """\
import json, resource, sys
from pathlib import Path
from chainrule.model import Model
from chainrule.project import open_module
file, data, epochs, out = sys.argv[1:]
model = Model(open_module(Path(file)), data_root=Path(data) if data else None)
model.fit(epochs=float(epochs), out=out)
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([most if sys.platform == "darwin" else most * 1024, "numba" in sys.modules]))
"""


def predicted(file: str, data: str) -> dict[str, int]:
    """What `chainrule summary --json` says of training, in a process of its own."""
    command = [sys.executable, "-m", "chainrule", "summary", file, "--json"]
    command += ["--data", data] if data else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)["training"]
    return found


def measured(file: str, data: str, epochs: float) -> int:
    """The peak of a training process that finds its kernels in the cache (and so has no Numba)."""
    with tempfile.TemporaryDirectory() as folder:
        for turn in ("cold", "warm", "again"):
            command = [sys.executable, "-c", RUN, file, data, str(epochs), str(Path(folder, turn))]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            most, compiled = json.loads(done.stdout)
            if not compiled:
                break
    return int(most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--data", default="", metavar="FOLDER")
    parser.add_argument("--epochs", type=float, default=2)
    given = parser.parse_args()
    print(f"{'file':<24} {'predicted':>10} {'measured':>10} {'ratio':>6}   MB; process alone")
    for file in given.files:
        guess, most = predicted(file, given.data), measured(file, given.data, given.epochs)
        peak, process = guess["peak"], guess["process"]
        print(
            f"{Path(file).name:<24} {peak / 1e6:>10.1f} {most / 1e6:>10.1f} {peak / most:>6.3f}"
            f"   {process / 1e6:.1f}"
        )


if __name__ == "__main__":
    main()
