"""Type-check the package as installed: `python scripts/typecheck.py` runs mypy --strict on it.

The sources lie in several top folders that are sub-packages only once installed (see
[tool.setuptools.package-dir]), so mypy is given a tree of links in that shape.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("dsl", "compiler", "runtime", "viz")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "chainrule"
        package.mkdir()
        for entry in (ROOT / "chainrule").iterdir():
            os.symlink(entry, package / entry.name)
        for part in PARTS:
            os.symlink(ROOT / part, package / part)
        command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
        environment = {**os.environ, "MYPYPATH": folder}
        return subprocess.call([*command, "-p", "chainrule"], cwd=folder, env=environment)


if __name__ == "__main__":
    sys.exit(main())
