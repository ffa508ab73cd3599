"""What an application uses: checks that never wait, of rules that follow the releases."""

import asyncio
import logging
import os
import threading
import weakref
from pathlib import Path
from typing import Any, Literal, Self

from ..errors import Misconfigured
from ..evaluation.results import Evaluation
from ..evaluation.users import AnyUser
from ..settings import BrokerSettings
from .flags import evaluate_flag
from .nats_transport import NatsTransport
from .region import RegionRules
from .transports import EdgeTransport, Transport

log = logging.getLogger(__name__)

READY_SECONDS = 10.0
STOP_SECONDS = 3.0


class Client:
    """The rules of one region in this process; for async and for threaded applications alike.

    The connection lives in a thread of its own: a check is a computation in memory, never I/O, and
    may be made from any thread, event loop or signal handler. Before the first rules have arrived,
    answers come from `cache_dir`, or are false and empty.

    A process that forks afterwards (gunicorn with `preload_app`) goes on in every child: it keeps
    the rules, and starts a connection of its own. Only the parent writes `cache_dir`.
    """

    def __init__(
        self,
        region: str,
        *,
        transport: Literal["nats", "edge"] = "nats",
        url: str | None = None,
        key: str | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        """Prepare; nothing connects before `start` or the block.

        `url` is the broker's (default: SLUICEWAY_NATS_URL), or with `transport="edge"` the edge's; then
        `key` is an SDK key (`sluiceway key create`). `Misconfigured` where one of them is missing.
        """
        self._transport_kind = transport
        self._url = url
        self._key = key
        self._rules = RegionRules(region, cache_dir)
        self._transport = self._new_transport()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._is_closed = False
        #: Says whether a user passes a gate; False where it is not known.
        self.check_gate = self._rules.check_gate
        #: Returns a user's value of a dynamic config; empty where it is not known.
        self.get_config = self._rules.get_config
        _clients.add(self)

    @property
    def rules(self) -> RegionRules:
        """The rules themselves."""
        return self._rules

    def evaluate(self, user: AnyUser, name: str) -> Evaluation:
        """Return the answer of the gate of this name, without one of the dynamic config, and its origin."""
        return evaluate_flag(self._rules, user, name)

    def start(self) -> Self:
        """Begin to follow; returns at once."""
        if self._is_closed:
            self._transport, self._ready = self._new_transport(), threading.Event()
            self._rules.reopen()
            self._is_closed = False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sluiceway", daemon=True)
            self._thread.start()
        return self

    def wait_until_ready(self, timeout: float = READY_SECONDS) -> bool:
        """Say whether all that the region holds is applied; waits `timeout` seconds for it at most."""
        return self._ready.wait(timeout)

    def close(self) -> None:
        """Stop following; checks go on with the last rules."""
        self._transport.stop()
        if self._thread:
            self._thread.join(STOP_SECONDS)
            self._thread = None
        self._rules.close()
        self._is_closed = True

    def __enter__(self) -> Self:
        self.start().wait_until_ready()
        return self

    def __exit__(self, *details: Any) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start().wait_until_ready)
        return self

    async def __aexit__(self, *details: Any) -> None:
        await asyncio.to_thread(self.close)

    def _new_transport(self) -> Transport:
        if self._transport_kind == "nats":
            settings = BrokerSettings()
            return NatsTransport(
                settings.model_copy(update={"nats_url": self._url}) if self._url else settings
            )
        if self._transport_kind != "edge":
            raise Misconfigured(f"there is no transport {self._transport_kind!r}; use nats or edge")
        if not self._url or not self._key:
            raise Misconfigured('transport="edge" needs the url of an edge and a key')
        return EdgeTransport(self._url, self._key)

    def _run(self) -> None:
        try:
            self._transport.follow(self._rules, self._ready.set)
        except Exception:
            log.exception("rules are not followed any more; checks go on with the last ones")

    def _forked(self) -> None:
        """Begin anew in a child: threads and connections stayed with the parent."""
        _left_behind.append((self._transport, self._thread))
        was_running, self._thread = self._thread is not None, None
        self._ready = threading.Event()
        self._rules.abandon_cache()
        self._transport = self._new_transport()
        if was_running:
            self.start()


_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()
#: What a child has from its parent must not be collected: that would close what is not its own.
_left_behind: list[object] = []


def _before_fork() -> None:
    """Halt our threads: a lock that one holds in the midst of work would never be freed in the child."""
    for client in tuple(_clients):
        client._transport.pause()


def _after_fork_in_parent() -> None:
    for client in tuple(_clients):
        client._transport.resume()


def _after_fork_in_child() -> None:
    for client in tuple(_clients):
        client._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
