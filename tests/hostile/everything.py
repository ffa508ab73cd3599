"""Everything that one can try on the broker, from our own tables: a new verb or stream is in it by itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from sluiceway.contracts import subjects
from sluiceway.contracts.commands import PUBLIC_COMMANDS
from sluiceway.contracts.identity import CONSOLE, MONITOR
from sluiceway.messaging.streams import SPACE_STREAM, streams

TRIGGER = "gate.new_checkout.1"
STREAMS = {str(config.name): tuple(config.subjects or ()) for config in streams(1)} | {
    SPACE_STREAM: (subjects.space_probe(),)
}
VERBS = tuple(model.verb for model in PUBLIC_COMMANDS)
#: Requests to JetStream about one stream; the consumer `monitor` exists on one of them.
STREAM_REQUESTS = (
    "STREAM.CREATE.{stream}",
    "STREAM.UPDATE.{stream}",
    "STREAM.DELETE.{stream}",
    "STREAM.INFO.{stream}",
    "STREAM.PURGE.{stream}",
    "STREAM.SNAPSHOT.{stream}",
    "STREAM.RESTORE.{stream}",
    "STREAM.MSG.GET.{stream}",
    "STREAM.MSG.DELETE.{stream}",
    "STREAM.LEADER.STEPDOWN.{stream}",
    "STREAM.PEER.REMOVE.{stream}",
    "DIRECT.GET.{stream}",
    "CONSUMER.NAMES.{stream}",
    "CONSUMER.LIST.{stream}",
    "CONSUMER.CREATE.{stream}",
    "CONSUMER.CREATE.{stream}.sly",
    "CONSUMER.DURABLE.CREATE.{stream}.sly",
    "CONSUMER.DELETE.{stream}.monitor",
    "CONSUMER.INFO.{stream}.monitor",
    "CONSUMER.MSG.NEXT.{stream}.monitor",
    "CONSUMER.PAUSE.{stream}.monitor",
    "CONSUMER.RESET.{stream}.monitor",
    "CONSUMER.UNPIN.{stream}.monitor",
    "CONSUMER.LEADER.STEPDOWN.{stream}.monitor",
)
#: Requests to JetStream about one subject of a stream.
SUBJECT_REQUESTS = ("DIRECT.GET.{stream}.{subject}", "CONSUMER.CREATE.{stream}.sly.{subject}")
#: Requests to JetStream about an account, and to the broker about itself.
ACCOUNT_REQUESTS = (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.META.LEADER.STEPDOWN",
    "$JS.API.SERVER.REMOVE",
    "$JS.API.ACCOUNT.PURGE.SLUICEWAY",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.SLUICEWAY.CONNZ",
    "$SYS.REQ.USER.INFO",
)
#: Answers to the broker about what a consumer was delivered.
ACKNOWLEDGEMENTS = ("$JS.ACK.{stream}.monitor.1.1.1.1.0", "$JS.FC.{stream}.monitor.x")

_FREEZE = {"name": "night", "weekly": [{"from": "Fri 16:00", "to": "Mon 08:00"}]}
_PHASES = [{"name": "a", "rules": [{"name": "all"}]}]
#: A valid command of each verb, without actor and id.
COMMANDS: Mapping[str, dict[str, Any]] = {
    "save_feature": {"feature": {"kind": "FeatureGate", "name": "dark_mode"}},
    "archive_feature": {"kind": "gate", "name": "dark_mode"},
    "approve": {"trigger": TRIGGER, "phaseID": "dev"},
    "pause": {"trigger": TRIGGER, "phaseID": "dev"},
    "unpause": {"trigger": TRIGGER, "phaseID": "dev"},
    "skip": {"trigger": TRIGGER, "phaseID": "dev"},
    "extend": {"trigger": TRIGGER, "phaseID": "dev"},
    "abort": {"trigger": TRIGGER},
    "roll_out": {"trigger": TRIGGER},
    "roll_back": {"trigger": TRIGGER},
    "save_pipeline": {"pipeline": {"name": "sly", "phases": _PHASES}},
    "delete_pipeline": {"pipelineID": "prod-release"},
    "save_environment": {"environment": {"name": "qa"}},
    "delete_environment": {"name": "staging"},
    "save_region": {"region": {"name": "qa", "environment": "staging"}},
    "delete_region": {"name": "prod-eu"},
    "save_freeze": {"freeze": _FREEZE},
    "delete_freeze": {"name": "night"},
    "save_alert_source": {"source": {"name": "pager"}},
    "delete_alert_source": {"name": "pager"},
    "create_key": {
        "key": {"kind": "SdkKey", "id": "sly", "digest": "0" * 64, "region": "dev", "createdMs": 0}
    },
    "revoke_key": {"keyID": "bootstrap"},
}


def published_subjects() -> Iterator[str]:
    """Give every subject on which something could be published to do harm."""
    for verb in (*VERBS, "no_such_verb"):
        for sender in (None, CONSOLE, MONITOR, "scheduler", "key-admin"):
            yield subjects.command(verb, sender)
    yield from (subjects.CLEARANCE, subjects.copied_to_leaf("leaf-000000000000"), *ACCOUNT_REQUESTS)
    for region in ("dev", "prod-eu"):
        yield subjects.region_api(region, "STREAM.DELETE.KV_RULES")
        yield f"{subjects.hub_api()}.CONSUMER.CREATE.KV_RULES.sly.{subjects.rules_of(region)}"
        yield f"{subjects.hub_api()}.CONSUMER.CREATE.KV_REGIONS.sly.{subjects.region_documents(region)}"
        yield subjects.leaf_api(region, "STREAM.DELETE.KV_RULES")
        leaf = subjects.domain_api(subjects.leaf_domain(region))
        yield from (f"{leaf}.STREAM.{verb}.KV_RULES" for verb in ("CREATE", "DELETE", "INFO"))
        yield f"{subjects.domain_api(subjects.HUB_DOMAIN)}.CONSUMER.CREATE.KV_RULES.sly"
        yield f"{subjects.domain_api(subjects.HUB_DOMAIN)}.{subjects.applied(region, 'sly')}"
        yield f"{subjects.delivered(region)}.x"
        yield subjects.heartbeat(region)
    for stream, patterns in STREAMS.items():
        yield from (f"$JS.API.{request.format(stream=stream)}" for request in STREAM_REQUESTS)
        yield from (answer.format(stream=stream) for answer in ACKNOWLEDGEMENTS)
        for pattern in patterns:
            subject = filled(pattern)
            yield subject
            for request in SUBJECT_REQUESTS:
                yield f"$JS.API.{request.format(stream=stream, subject=subject)}"


def heard_subjects() -> Iterator[str]:
    """Give every pattern to which somebody could subscribe to hear what is not meant for him."""
    yield from (
        ">",
        "*.>",
        "_INBOX.>",
        "_INBOX.console.>",
        "_R_.>",
        "$JS.>",
        "$SYS.>",
        "$KV.>",
        "sluiceway.>",
    )
    yield from (subjects.COMMANDS, subjects.CLEARANCE)
    for patterns in STREAMS.values():
        yield from patterns


def filled(pattern: str) -> str:
    """Return a subject that a pattern covers, about the region prod-eu where it names one."""
    place = ".prod-eu.gate.new_checkout" if pattern.startswith("$KV.") else ".gate.new_checkout"
    names = iter(place.split(".")[1:])
    tokens = pattern.split(".")
    if tokens[-1] == ">":
        return ".".join([*tokens[:-1], *names])
    return ".".join(next(names) if token == "*" else token for token in tokens)
