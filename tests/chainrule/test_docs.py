"""The pages about the command line and the API say what is there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import chainrule
from chainrule.cli import COMMANDS, cli
from chainrule.runtime.train.settings import KNOWN

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_command_is_in_the_page_and_every_option_of_the_page_exists() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert [c for c in COMMANDS if f"| `{c} " not in page and f"| `{c}`" not in page] == []
    context = cli.make_context("chainrule", ["--help"], resilient_parsing=True)
    options = {"--help", "--version"}
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        options |= {o for p in command.params for o in p.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) - options == set()


def test_every_line_of_train_is_in_the_page() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert [word for word in KNOWN if f"`{word}" not in page] == []


def test_the_example_of_the_api_page_runs() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    code = next(c for c in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "loads" in c)
    code = code.replace('""")', '""", device="plain")').replace("epochs 100", "epochs 2")
    names: dict[str, object] = {"np": np, "chainrule": chainrule}
    exec(code, names)
    assert len(names["history"].rows) == 2  # type: ignore[attr-defined]


def test_every_method_of_the_api_page_exists() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    table = page[page.index("## Model") : page.index("`fit` starts")]
    methods = set(re.findall(r"`(\w+)\(", table)) | {"parameters"}
    assert [m for m in methods if not hasattr(chainrule.Model, m)] == []
