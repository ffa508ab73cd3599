"""What the benchmark asks of a library."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, Protocol
from warnings import catch_warnings, simplefilter

#: Name on PyPI → module in this package; ours comes last.
OURS = "sluiceway"
MODULES = {
    "statsig-python-core": "statsig",
    "growthbook": "growthbook",
    "launchdarkly-server-sdk": "launchdarkly",
    "openfeature-provider-flagd": "flagd",
    "UnleashClient": "unleash",
    OURS: "sluiceway",
}


class Peer(Protocol):
    """A library with its features loaded. A feature is named by its `Workload`."""

    def user(self, index: int) -> Any:
        """Build what the library takes for the `index`-th of `PEOPLE`."""

    def gate(self, user: Any, name: str) -> bool:
        """Check `on`, `region` or `rollout`."""

    def config(self, user: Any, name: str) -> Mapping[str, Any]:
        """Return the value of `config`."""


def prepare(name: str) -> AbstractContextManager[Peer] | None:
    """Return what opens a library; None where it is not installed. What it warns of at import is its own."""
    with catch_warnings():
        simplefilter("ignore")
        try:
            module = import_module(f"{__package__}.{MODULES[name]}")
        except ImportError:
            return None
    opened: AbstractContextManager[Peer] = module.prepared()
    return opened
