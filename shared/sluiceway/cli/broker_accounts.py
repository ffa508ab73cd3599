"""The accounts, users and permissions of a broker: nobody does what is not theirs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..contracts import subjects
from ..contracts.commands import COMMAND_MAX_BYTES
from ..contracts.identity import CONSOLE, MONITOR
from ..messaging.region_streams import COPIES
from ..messaging.rules_streams import RulesStreams
from ..messaging.streams import ALERT_STORED_BYTES_MAX, streams

#: Connections of each account that is not ours, so that one cannot take all that the broker has.
CONNECTIONS_MAX = 1_000
#: Bytes of a message that people and machines send: a command, with some headers.
PEOPLE_BYTES_MAX = COMMAND_MAX_BYTES + 8 * 1024
#: The same of alerting systems.
ALERTING_BYTES_MAX = ALERT_STORED_BYTES_MAX
#: Consumers of each stream in the account of a region.
CONSUMERS_MAX = 1_000
#: What the account of a region may store: its copies, and nothing else.
REGION_JETSTREAM = f"jetstream {{max_streams: {len(COPIES)}, max_consumers: {CONSUMERS_MAX}}}"
ONE_RULES_STREAM = RulesStreams()


class Export(NamedTuple):
    """Subjects of one account that another one imports, perhaps under another name."""

    #: `service` (requests) or `stream` (messages).
    kind: str
    subject: str
    importer: str
    #: The name in the account that imports it, if it differs.
    name: str | None = None


@dataclass(frozen=True)
class BrokerUser:
    """A user, and what it may do."""

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    #: It answers requests, on the reply subject of each.
    answers: bool = False
    #: It is a leaf node, and can connect as nothing else.
    is_leaf: bool = False
    #: What of `publish` it may not.
    denied: tuple[str, ...] = ()


@dataclass(frozen=True)
class BrokerAccount:
    """An account, with what it offers to others."""

    name: str
    users: tuple[BrokerUser, ...]
    exports: tuple[Export, ...] = ()
    jetstream: str = ""
    #: What all its connections together may have; empty: anything.
    limits: str = f"max_connections: {CONNECTIONS_MAX}"
    #: Subject → where what is published there goes instead.
    mappings: Mapping[str, str] = field(default_factory=dict)


def broker_accounts(
    regions: Sequence[str],
    people: Sequence[str],
    sources: Sequence[str],
    rules: RulesStreams = ONE_RULES_STREAM,
    operators: Sequence[str] = (),
) -> list[BrokerAccount]:
    """Return the accounts for these regions, ids of keys of people and machines, and sources of alerts.

    `operators`: ids of keys whose command line is trusted to read everything.
    """
    hub = BrokerAccount(
        "SLUICEWAY",
        (
            _scheduler(rules),
            _publisher(rules),
            _monitor(),
            _console(rules),
            _jetstream_admin(),
            *(_operator(key, rules) for key in sorted(operators)),
        ),
        (
            Export("service", "sluiceway.commands.*.*", "PEOPLE"),
            Export("service", DIRECT_FEATURES, "PEOPLE"),
            Export("service", subjects.alert("*"), "ALERTING"),
            *(export for region in sorted(regions) for export in _exports_to(region, rules)),
        ),
        "jetstream: enabled",
        limits="",
    )
    return [
        hub,
        BrokerAccount("PEOPLE", tuple(map(_person, sorted(people))), limits=_limits(PEOPLE_BYTES_MAX)),
        BrokerAccount("ALERTING", tuple(map(_source, sorted(sources))), limits=_limits(ALERTING_BYTES_MAX)),
        *map(_region, sorted(regions)),
    ]


def _limits(message_bytes_max: int) -> str:
    return f"max_connections: {CONNECTIONS_MAX}, max_payload: {message_bytes_max}"


DIRECT_FEATURES = f"$JS.API.DIRECT.GET.{subjects.FEATURES_STREAM}.>"
INBOX = "_INBOX.>"


def account_of(region: str) -> str:
    """Return the name of a region's account."""
    return f"REGION_{region}"


def edge_of(region: str) -> str:
    """Return the user of a region's edges."""
    return f"edge-{region}"


def _scheduler(rules: RulesStreams) -> BrokerUser:
    """Return who declares all streams. It deletes those that hold nothing to keep, and purges none."""
    kept = {config.name or "" for config in streams(1)} - {subjects.PROBES_STREAM, *rules.names}
    return BrokerUser(
        "scheduler",
        (
            "$JS.API.STREAM.NAMES",
            *(f"$JS.API.STREAM.{verb}.*" for verb in ("INFO", "CREATE", "UPDATE", "DELETE")),
            *_follow(subjects.FEATURES_STREAM, subjects.CATALOG_STREAM),
            *_follow(subjects.REGIONS_STREAM, subjects.APPLIED_STREAM),
            *(f"$JS.API.STREAM.MSG.GET.{stream}" for stream in (subjects.AUDIT_STREAM, *rules.names)),
            "sluiceway.features.>",
            subjects.CATALOG,
            subjects.REGIONS,
            subjects.region_api("*", ">"),
            subjects.CLEARANCE,
            subjects.dead_letters("scheduler"),
            subjects.dead_letters("scheduler", "*"),
            subjects.audit("scheduler"),
            subjects.probe("scheduler"),
            subjects.space_probe(),
        ),
        (INBOX, subjects.COMMANDS),
        answers=True,
        denied=tuple(f"$JS.API.STREAM.DELETE.{stream}" for stream in sorted(kept)),
    )


def _publisher(rules: RulesStreams) -> BrokerUser:
    return BrokerUser(
        "evaluator_publisher",
        (
            "$JS.API.STREAM.INFO.*",
            *_follow(subjects.FEATURES_STREAM, subjects.CATALOG_STREAM, *rules.names),
            subjects.RULES,
            subjects.heartbeat("*"),
            subjects.dead_letters("evaluator_publisher"),
            subjects.probe("evaluator_publisher"),
        ),
        (INBOX,),
    )


def _monitor() -> BrokerUser:
    return BrokerUser(
        "monitor",
        (
            "$JS.API.STREAM.INFO.*",
            *_follow(subjects.FEATURES_STREAM, subjects.CATALOG_STREAM, subjects.MEASUREMENTS_STREAM),
            *_consume(subjects.ALERTS_STREAM),
            *_consume(subjects.FEATURES_STREAM, subjects.VERDICTS_STREAM),  # for notifications
            subjects.command("roll_back", MONITOR),
            subjects.command("pause", MONITOR),
            subjects.MEASUREMENTS,
            subjects.VERDICTS,
            "sluiceway.answered_alerts.>",
            subjects.alert("alertmanager"),
            f"{subjects.alert('alertmanager')}.*",
            subjects.dead_letters("monitor"),
            subjects.dead_letters("monitor", "*"),
            subjects.probe("monitor"),
        ),
        (INBOX, subjects.CLEARANCE),
        answers=True,
    )


def _console(rules: RulesStreams) -> BrokerUser:
    return BrokerUser(
        "console",
        (
            "$JS.API.STREAM.INFO.*",
            *_follow(subjects.FEATURES_STREAM, subjects.CATALOG_STREAM, *rules.names),
            *_follow(subjects.APPLIED_STREAM, subjects.MEASUREMENTS_STREAM, subjects.VERDICTS_STREAM),
            *_follow(subjects.SESSIONS_STREAM, subjects.AUDIT_STREAM),
            DIRECT_FEATURES,
            subjects.command("*", CONSOLE),
            "sluiceway.sessions.>",
            subjects.audit("console"),
            subjects.probe("console"),
        ),
        (INBOX,),
    )


def _operator(key: str, rules: RulesStreams) -> BrokerUser:
    """Return who sends commands with the grants of a key, and reads as the console does, dead letters too."""
    return BrokerUser(
        key,
        (
            "$JS.API.STREAM.INFO.*",
            *_follow(subjects.FEATURES_STREAM, subjects.CATALOG_STREAM, *rules.names),
            *_follow(subjects.APPLIED_STREAM, subjects.MEASUREMENTS_STREAM, subjects.VERDICTS_STREAM),
            *_follow(subjects.AUDIT_STREAM, subjects.DEAD_LETTERS_STREAM),
            DIRECT_FEATURES,
            subjects.command("*", key),
        ),
        (INBOX,),
    )


def _jetstream_admin() -> BrokerUser:
    """Return who looks after the streams by hand: backups, dead letters, what a full store needs."""
    return BrokerUser("jetstream_admin", ("$JS.API.>", "$JS.SNAPSHOT.>", "$JS.FC.>"), (INBOX,))


def _follow(*names: str) -> Iterator[str]:
    """Give what a process publishes that hears what is new in these streams, and reads what is old."""
    for name in names:
        yield f"$JS.API.STREAM.MSG.GET.{name}"
        yield f"$JS.API.DIRECT.GET.{name}"
        yield f"$JS.API.CONSUMER.CREATE.{name}.>"
        yield f"$JS.API.CONSUMER.MSG.NEXT.{name}.*"
        yield f"$JS.API.CONSUMER.DELETE.{name}.*"
        yield f"$JS.FC.{name}.>"


def _consume(*names: str) -> Iterator[str]:
    """Give what a process publishes that takes each message of these streams once, and acknowledges it."""
    for name in names:
        yield f"$JS.API.CONSUMER.CREATE.{name}.>"
        yield f"$JS.API.CONSUMER.INFO.{name}.*"
        yield f"$JS.API.CONSUMER.MSG.NEXT.{name}.*"
        yield f"$JS.ACK.{name}.>"
        yield f"$JS.ACK.*.*.{name}.>"  # with the domain and the account, as some versions of the broker ask


def _person(key: str) -> BrokerUser:
    """Return who sends commands, and reads the features that it changes; the console shows the rest."""
    return BrokerUser(key, (subjects.command("*", key), DIRECT_FEATURES), (f"_INBOX.{key}.>",))


def _source(name: str) -> BrokerUser:
    """Return an alerting system: it can send alerts, and nothing else."""
    return BrokerUser(name, (subjects.alert(name),), (INBOX,))


def _region(region: str) -> BrokerAccount:
    """Return the account of a region, whose edges read the copies there and report for that region.

    It has few exports, with wildcards: nats-server takes a time to read them that grows with their square.
    """
    leaf_api = subjects.domain_api(subjects.leaf_domain(region))
    api = (
        *_requests_to(region, "$JS.API", ["STREAM.*.*", "CONSUMER.*.*.*"], subjects.region_api),
        *_requests_to(region, leaf_api, ["STREAM.*.*"], subjects.leaf_api),
    )
    return BrokerAccount(account_of(region), (_edge(region), _leaf(region)), api, REGION_JETSTREAM)


def leaf_accounts(region: str) -> list[BrokerAccount]:
    """Return the accounts of a region's leaf node: one for its edges, as at the hub, and no other."""
    reports = subjects.applied_in(region)
    # Brokers of different JetStream domains pass no subject of a bucket on.
    at_hub = f"{subjects.domain_api(subjects.HUB_DOMAIN)}.{reports}"
    edge = _edge(region)
    return [
        BrokerAccount(
            account_of(region),
            (replace(edge, publish=(*edge.publish, at_hub)),),
            jetstream=REGION_JETSTREAM,
            mappings={reports: at_hub.replace("*", "{{wildcard(1)}}")},
        )
    ]


def _edge(region: str) -> BrokerUser:
    """Return the edges of a region, which read the copies there and report for it."""
    return BrokerUser(
        edge_of(region),
        (
            *(f"$JS.API.STREAM.INFO.{copy}" for copy in COPIES),
            *(f"$JS.API.CONSUMER.CREATE.{copy}.>" for copy in COPIES),
            *(f"$JS.API.CONSUMER.DELETE.{copy}.*" for copy in COPIES),
            *(f"$JS.FC.{copy}.>" for copy in COPIES),
            subjects.applied_in(region),
            subjects.dead_letters("edge"),
        ),
        (INBOX, subjects.heartbeat(region)),
    )


def _requests_to(
    region: str, api: str, requests: Sequence[str], name: Callable[[str, str], str]
) -> Iterator[Export]:
    """Give the requests to JetStream with which a scheduler keeps what a region has."""
    for request in requests:
        yield Export("service", f"{api}.{request}", "SLUICEWAY", name(region, request))


def _leaf(region: str) -> BrokerUser:
    """Return the leaf node of a region: what of its account gets there, and what comes from its edges.

    It creates no consumer, which could deliver to any subject of the account: those that it copies from
    are there, and it can only have them begin again.
    """
    domain, hub = subjects.leaf_domain(region), subjects.domain_api(subjects.HUB_DOMAIN)
    return BrokerUser(
        domain,
        (
            *(f"{hub}.CONSUMER.RESET.{copy}.*" for copy in COPIES),
            *(f"$JS.FC.{copy}.>" for copy in COPIES),
            f"{hub}.{subjects.applied_in(region)}",
            subjects.dead_letters("edge"),
            "_R_.>",  # its answers to the scheduler
        ),
        (
            INBOX,
            "$JSC.R.*",  # the answers to its own requests
            subjects.copied_to_leaf("*"),
            subjects.heartbeat(region),
            f"{subjects.domain_api(domain)}.STREAM.>",
        ),
        is_leaf=True,
    )


def _exports_to(region: str, rules: RulesStreams) -> tuple[Export, ...]:
    """Return what the account of a region gets: what the broker copies there, and where its edges write.

    Edges may not send the requests with which the broker copies: their permissions do not have these.
    """
    importer = account_of(region)
    copied = {
        subjects.REGIONS_STREAM: subjects.region_documents(region),
        rules.of(region): subjects.rules_of(region),
    }
    requests = [f"CONSUMER.CREATE.{stream}.*.{pattern}" for stream, pattern in copied.items()]
    return (
        *(
            Export("service", f"$JS.API.{request}", importer, f"{subjects.hub_api()}.{request}")
            for request in requests
        ),
        *(Export("service", f"$JS.FC.{stream}.>", importer) for stream in copied),
        Export("stream", f"{subjects.delivered(region)}.>", importer),
        Export("stream", subjects.heartbeat(region), importer),
        Export("service", subjects.applied_in(region), importer),
        Export("service", subjects.dead_letters("edge", region), importer, subjects.dead_letters("edge")),
    )
