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
    parser.addoption(
        "--campaign-seed", type=int, default=20261120, help="other random nets than the usual ones"
    )


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> int:
    size: int = request.config.getoption("--campaign")
    return size


@pytest.fixture
def campaign_seed(request: pytest.FixtureRequest) -> int:
    number: int = request.config.getoption("--campaign-seed")
    return number
