"""What is fuzzed, by name: each target takes any bytes, and raises if the edge would do what it must not."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts import subjects
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.stream_records import Record

from .edge_requests import REGION, EdgeRequests, a_document

#: Takes any bytes; raises if they do harm.
Target = Callable[[bytes], None]
#: Between the parts of a request, none of which may have it.
PART_END = b"\n"
USERS: tuple[dict[str, Any], ...] = (
    {},
    {"userID": "ada", "email": "ada@example.com", "custom": {"tier": ["pro", 1, None, 1.5]}},
)
RULE = subjects.rule(REGION, FeatureKey(FeatureKind.GATE, "checkout"))
POLL = b"/v2/download_config_specs\nsinceTime=1764000000000&checksum=%25"
LISTEN = b"/ofrep/v1/events\nkey=k&expires=1&known=x&token=t\nlast-event-id: 1"
EVENTS = b"/v1/log_event\n\nstatsig-event-count: 3"
TAGGED = b'/ofrep/v1/evaluate/flags\n\nif-none-match: W/"a", "b"\naccept-encoding: gzip'


class FuzzTarget(NamedTuple):
    """A target, and inputs that lead deep into it."""

    name: str
    seeds: tuple[bytes, ...]
    #: Gives the target while the block runs; what it needs is kept in the folder.
    build: Callable[[Path], AbstractContextManager[Target]]


@contextmanager
def _rules(folder: Path) -> Iterator[Target]:
    """Documents from a broker: an invalid one changes nothing, a valid one is evaluated for everybody."""

    def apply(data: bytes) -> None:
        rules = RegionRules(REGION)
        rules.apply(Record(RULE, 1, 1, data, {}), "2026-01-01T00:00:00Z", is_live=False)
        for user in USERS:
            rules.gate(user, "checkout")
            rules.config(user, "checkout")

    yield apply


@contextmanager
def _contexts(folder: Path) -> Iterator[Target]:
    """Bodies of OpenFeature clients."""
    edge = EdgeRequests(folder)
    headers = [(b"x-api-key", edge.key.encode())]

    def post(body: bytes) -> None:
        for path in ("/ofrep/v1/evaluate/flags/checkout", "/ofrep/v1/evaluate/flags"):
            _check(edge.status("POST", path, b"", headers, body))

    yield post
    edge.close()


@contextmanager
def _requests(folder: Path) -> Iterator[Target]:
    """Paths, queries and headers, with a valid key and without one."""
    edge = EdgeRequests(folder)
    credentials = [(name, edge.key.encode()) for name in (b"x-api-key", b"statsig-api-key")]

    def send(data: bytes) -> None:
        path, query, *rest = [*data.split(PART_END), b"", b""][:20]
        given = [
            (name.strip().lower(), value.strip())
            for name, _, value in (line.partition(b":") for line in rest)
        ]
        for headers in ([*credentials, *given], given):
            for method in ("GET", "POST"):
                _check(edge.status(method, "/" + path.decode("latin-1").lstrip("/"), query, headers, b"{}"))

    yield send
    edge.close()


def _check(status: int | None) -> None:
    """Raise if an answer says that the edge failed; 503 says that it cannot answer yet."""
    if status is not None and status >= 500:
        raise AssertionError(f"the edge answered with status {status}")


def _documents() -> Iterable[bytes]:
    yield a_document()
    yield a_document(type="ip_based", field="country", operator="any", targetValue=["DE"])
    yield a_document(type="user_field", field="email", operator="str_matches", targetValue="^(a|b)+@x$")
    yield a_document(type="custom_field", field="tier", operator="version_gt", targetValue="1.2.3")
    yield a_document(type="pass_gate", targetValue="checkout")
    yield a_document(type="user_bucket", operator="lt", targetValue=500, additionalValues={"salt": "s"})
    yield a_document(type="current_time", operator="after", targetValue=1_764_000_000_000)


TARGETS = (
    FuzzTarget("rules", tuple(_documents()), _rules),
    FuzzTarget(
        "contexts",
        (
            b'{"context":{"targetingKey":"ada","email":"ada@example.com","custom":{"a":[1,null,true]}}}',
            b"[[[[]]]]",
        ),
        _contexts,
    ),
    FuzzTarget("requests", (POLL, LISTEN, EVENTS, TAGGED), _requests),
)
