"""Options of the test run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--campaign",
        type=int,
        default=12,
        help="how many random nets tests/test_campaign.py takes through every stage",
    )


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> int:
    size: int = request.config.getoption("--campaign")
    return size
