"""The client of an application: checks in memory, by rules that follow the releases."""

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
from ..settings import BrokerSettings, checked_token, read_settings
from .edge_transport import EdgeTransport
from .flags import evaluate_flag
from .nats_transport import NatsTransport
from .region_rules import RegionRules
from .transport import Transport

log = logging.getLogger(__name__)

READY_SECONDS = 10.0
STOP_SECONDS = 3.0


class Client:
    """The rules of one region in this process; for async and for threaded applications alike.

    The connection has a thread of its own: a check is a computation in memory, never I/O, and may be
    made from any thread, event loop or signal handler. Until the first rules arrive, checks use those
    in `cache_dir`; without any, they return False and empty configs, and `evaluate` says `NOT_READY`.

    A process may fork afterwards (gunicorn with `preload_app`): each child keeps the rules and opens
    a connection of its own. Only the parent writes to `cache_dir`.
    """

    def __init__(
        self,
        region: str,
        *,
        transport: Literal["nats", "edge"] = "nats",
        url: str | None = None,
        key: str | None = None,
        cache_dir: Path | str | None = None,
    ) -> None:
        """Create a client; it connects when it is started or its block is entered.

        `url` is the broker's (default: SLUICEWAY_NATS_URL), or with `transport="edge"` the edge's, which
        also needs `key`, an SDK key (`sluiceway key create`). Raises `Misconfigured` if one is missing or
        invalid.
        """
        self._transport_kind = transport
        self._url = url
        self._key = key
        self._rules = RegionRules(region, cache_dir)
        self._transport = self._new_transport()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._is_closed = False
        #: Returns whether a user passes a gate; False if the gate is unknown.
        self.check_gate = self._rules.check_gate
        #: Returns a user's value of a dynamic config; empty if the config is unknown.
        self.get_config = self._rules.get_config
        _clients.add(self)

    @property
    def rules(self) -> RegionRules:
        """The rules themselves."""
        return self._rules

    def evaluate(self, user: AnyUser, name: str) -> Evaluation:
        """Return a user's value of the gate or config with this name, and the rule that decided it."""
        return evaluate_flag(self._rules, user, name)

    def start(self) -> Self:
        """Start to follow the rules, in the background."""
        if self._is_closed:
            self._transport, self._ready = self._new_transport(), threading.Event()
            self._rules.reopen_cache()
            self._is_closed = False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sluiceway", daemon=True)
            self._thread.start()
        return self

    def wait_until_ready(self, timeout: float = READY_SECONDS) -> bool:
        """Wait until the region's rules are applied; return False if that takes more than `timeout` s."""
        return self._ready.wait(timeout)

    def close(self) -> None:
        """Stop following; checks keep using the last rules."""
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
            return NatsTransport(
                read_settings(BrokerSettings, **({"nats_url": self._url} if self._url else {}))
            )
        if self._transport_kind != "edge":
            raise Misconfigured(f"unknown transport {self._transport_kind!r}: use nats or edge")
        if not self._url or not self._key:
            raise Misconfigured('transport="edge" needs the url of an edge and an SDK key')
        try:
            key = checked_token(self._key)
        except ValueError as error:
            raise Misconfigured(f"invalid SDK key: {error}") from None
        return EdgeTransport(self._url, key)

    def _run(self) -> None:
        try:
            self._transport.follow(self._rules, self._ready.set)
        except Exception:
            log.exception("following the rules has stopped; checks keep using the last rules")

    def _start_in_child(self) -> None:
        """Start again after a fork: the thread and its connection exist only in the parent."""
        _inherited.append((self._transport, self._thread))
        was_running, self._thread = self._thread is not None, None
        self._ready = threading.Event()
        self._rules.detach_cache()
        self._transport = self._new_transport()
        if was_running:
            self.start()


_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()
#: A child must not let these be collected: that would close connections of the parent.
_inherited: list[object] = []


def _before_fork() -> None:
    """Pause our threads: a lock that one of them holds would never be released in the child."""
    for client in tuple(_clients):
        client._transport.pause()


def _after_fork_in_parent() -> None:
    for client in tuple(_clients):
        client._transport.resume()


def _after_fork_in_child() -> None:
    for client in tuple(_clients):
        client._start_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
