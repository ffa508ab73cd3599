"""Options and fixtures that every suite shares: a real broker for each test that asks for one."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.brokers import Broker, container_broker, embedded_broker

# How fast an example runs depends on what else the machine does.
settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker",
        choices=("embedded", "container"),
        default="embedded",
        help="run the broker of the integration tests as a process, or in Docker",
    )


def pytest_collection_finish() -> None:
    """Exclude what was imported and collected from garbage collections, which look at all of it each time."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests recorded, also where they ran in processes of their own."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in getattr(report, "user_properties", []):
            if name == "figure":
                terminalreporter.write_line(str(value))


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """A real nats-server of this test's own."""
    if request.config.getoption("--broker") == "container":
        with container_broker() as running:
            yield running
    else:
        with embedded_broker(tmp_path / "broker") as running:
            yield running
