"""Every subject, stream, bucket and durable name. No other code spells one.

```
sluiceway.commands.<verb>              request-reply, queue group `scheduler`; nobody vouches for the actor
sluiceway.commands.<verb>.<principal>  the same; the broker's permissions vouch for the sender
sluiceway.features.<kind>.<name>       stream FEATURES: the log of each feature
sluiceway.alerts.<source>              stream ALERTS
sluiceway.alerts.alertmanager.<part>   the same: what the webhook stores of large groups
sluiceway.clearance                    request-reply, queue group `monitor`: may a phase be left?
sluiceway.measurements.<trigger>.<phase>.<guardrail>   stream MEASUREMENTS: what the monitor measured
sluiceway.verdicts.<trigger>           stream VERDICTS: changed verdicts of guardrails
sluiceway.answered_alerts.<source>     stream VERDICTS: the outcome of each alert
sluiceway.dead_letters.<service>       stream DEAD_LETTERS: rejected messages, with their reason
sluiceway.dead_letters.<service>.<sender>   the same; who sent the message is known, or `other`
sluiceway.audit.<service>              stream AUDIT: refusals, sign-ins, keys; a chain of records
sluiceway.sessions.ended.<principal>[.<session>]   stream SESSIONS: sessions on the page that were ended
sluiceway.sessions.used.<sign-in>      stream SESSIONS: answers of the identity provider that were used
sluiceway.probes.<service>             stream PROBES: messages that prove that the broker stores
sluiceway.probe_space                  stream PROBES_SPACE: the same, after PROBES could not be written
sluiceway.probe_reservation            stream PROBES_RESERVATION: nothing; it shows what may be reserved
sluiceway.probe_rules.<number>         streams PROBES_RULES_…: nothing; they show that streams can be created
$KV.CATALOG.<environment|region|pipeline|freeze|alert_source|key|api_key>.<id>
$KV.RULES.<region>.<kind>.<name>
$KV.RULES.<region>.complete            the publisher has written all that the region holds
$KV.RULES.=checkpoint.complete         what a publisher has proved of all documents of a stream
$KV.RULES.=checkpoint-<n>.complete     the same, in the stream of another group of regions
$KV.APPLIED.<region>.<instance>
$KV.REGIONS.<region>.<region|key>.<id> what of CATALOG concerns one region; only for regions with own accounts
sluiceway.region_api.<region>.<request>  requests to JetStream in the account of a region
sluiceway.region_api.<region>.leaf.<request>  the same, to the JetStream of the region's leaf node
sluiceway.hub_api.<request>              requests of the broker itself, from a region's account to ours
sluiceway.heartbeats.<region>            not stored: what a publisher has published is up to date
sluiceway.delivered.<region>.>           what the broker copies into the account of a region
sluiceway.copied.<consumer>              what it copies from there to the leaf node of the region
```
"""

import re

from .identifiers import NAME_PATTERN, FeatureKey, FeatureKind

PREFIX = "sluiceway"

_is_name = re.compile(NAME_PATTERN).fullmatch

COMMANDS = f"{PREFIX}.commands.>"
SCHEDULER_QUEUE = "scheduler"

FEATURES_STREAM = "FEATURES"
FEATURES = f"{PREFIX}.features.*.*"

ALERTS_STREAM = "ALERTS"
ALERTS = f"{PREFIX}.alerts.>"
MONITOR_DURABLE = "monitor"
#: The source of the alerts that come through the monitor's webhook; only its subjects may have parts.
WEBHOOK_SOURCE = "alertmanager"

CLEARANCE = f"{PREFIX}.clearance"
MONITOR_QUEUE = "monitor"

MEASUREMENTS_STREAM = "MEASUREMENTS"
MEASUREMENTS = f"{PREFIX}.measurements.>"

VERDICTS_STREAM = "VERDICTS"
VERDICTS = f"{PREFIX}.verdicts.>"
ANSWERED_ALERTS = f"{PREFIX}.answered_alerts.*"

DEAD_LETTERS_STREAM = "DEAD_LETTERS"
DEAD_LETTERS = f"{PREFIX}.dead_letters.*"
DEAD_LETTERS_OF_SENDERS = f"{PREFIX}.dead_letters.*.*"

AUDIT_STREAM = "AUDIT"
AUDIT = f"{PREFIX}.audit.*"

SESSIONS_STREAM = "SESSIONS"
ENDED_SESSIONS = f"{PREFIX}.sessions.ended.>"
USED_SIGN_INS = f"{PREFIX}.sessions.used.*"

PROBES_STREAM = "PROBES"
PROBES = f"{PREFIX}.probes.*"

CATALOG_BUCKET = "CATALOG"
RULES_BUCKET = "RULES"
APPLIED_BUCKET = "APPLIED"
REGIONS_BUCKET = "REGIONS"

#: The JetStream domain of the brokers that regions' leaf nodes connect to.
HUB_DOMAIN = "hub"

#: The last token of the mark that a region's rules are all published.
COMPLETE = "complete"
COMPLETE_SET_DOTS = 3

CATALOG_STREAM = f"KV_{CATALOG_BUCKET}"
RULES_STREAM = f"KV_{RULES_BUCKET}"
APPLIED_STREAM = f"KV_{APPLIED_BUCKET}"
REGIONS_STREAM = f"KV_{REGIONS_BUCKET}"

CATALOG = f"$KV.{CATALOG_BUCKET}.>"
RULES = f"$KV.{RULES_BUCKET}.>"
APPLIED = f"$KV.{APPLIED_BUCKET}.>"
REGIONS = f"$KV.{REGIONS_BUCKET}.>"


def command(verb: str, principal: str | None = None) -> str:
    """Return the subject of a command; `principal` is a sender whom the broker vouches for."""
    return f"{PREFIX}.commands.{verb}" + (f".{principal}" if principal else "")


def parse_principal(subject: str) -> str | None:
    """Return the sender that the subject of a command names; None if it names none."""
    return parse_command(subject)[1] if subject.startswith(command("")) else None


def parse_command(subject: str) -> tuple[str, str | None]:
    """Return verb and sender of the subject of a command; all of it is the verb if it has more tokens."""
    rest = subject.removeprefix(command(""))
    verb, *senders = rest.split(".")
    return (verb, senders[0] if senders else None) if len(senders) <= 1 else (rest, None)


def is_inbox(reply_to: str) -> bool:
    """Return whether a reply may be sent there: to `_INBOX…`, or across accounts (`_R_…`).

    Elsewhere it could be taken for a message: a stream stores everything on its subjects.
    """
    return reply_to.startswith("_")


def feature(key: FeatureKey) -> str:
    """Return the subject of a feature's log."""
    return f"{PREFIX}.features.{key.kind}.{key.name}"


def parse_feature(subject: str) -> FeatureKey:
    """Return the feature of a subject of FEATURES; `ValueError` for an unknown kind or an invalid name."""
    kind, name = subject.split(".")[2:]
    return FeatureKey(FeatureKind(kind), _checked_name(name))


def alert(source: str, part: int | None = None) -> str:
    """Return the subject of a source's alerts; `part`: one of several, of large groups of the webhook."""
    return f"{PREFIX}.alerts.{source}" + ("" if part is None else f".{part}")


def measurements(trigger: str, phase: str, guardrail: str) -> str:
    """Return the subject of the rounds of one guardrail."""
    return f"{PREFIX}.measurements.{trigger}.{phase}.{guardrail}"


def measurements_of(trigger: str) -> str:
    """Return the subjects of all rounds of a trigger."""
    return f"{PREFIX}.measurements.{trigger}.>"


def parse_measured_trigger(subject: str) -> str:
    """Return the trigger that a subject of MEASUREMENTS is about."""
    return ".".join(subject.split(".")[2:5])


def verdicts(trigger: str) -> str:
    """Return the subject of a trigger's verdicts."""
    return f"{PREFIX}.verdicts.{trigger}"


def answered_alert(source: str) -> str:
    """Return the subject of the outcomes of a source's alerts."""
    return f"{PREFIX}.answered_alerts.{source}"


def audit(service: str) -> str:
    """Return the subject of a service's audit records."""
    return f"{PREFIX}.audit.{service}"


def parse_audited_service(subject: str) -> str:
    """Return the service whose audit record has a subject."""
    return subject.removeprefix(audit(""))


def ended_session(principal: str, session: str) -> str:
    """Return the subject that says that a session was ended; both names are digests."""
    return f"{ended_sessions(principal)}.{session}"


def ended_sessions(principal: str) -> str:
    """Return the subject that says until when all sessions of a principal were ended."""
    return f"{PREFIX}.sessions.ended.{principal}"


def parse_ended_session(subject: str) -> tuple[str, str]:
    """Return the principal and the session that such a subject names; no session means all."""
    principal, _, session = subject.removeprefix(ended_sessions("")).partition(".")
    return principal, session


def used_sign_in(sign_in: str) -> str:
    """Return the subject that says that an answer of the identity provider was used."""
    return f"{PREFIX}.sessions.used.{sign_in}"


def probe(service: str) -> str:
    """Return the subject of a service's probes."""
    return f"{PREFIX}.probes.{service}"


def space_probe() -> str:
    """Return the subject of the message that finds out whether there is space again."""
    return f"{PREFIX}.probe_space"


def reservation_probe() -> str:
    """Return the subject of the stream that finds out how much JetStream may reserve; nobody publishes it."""
    return f"{PREFIX}.probe_reservation"


def rules_placeholder(number: str) -> str:
    """Return the subject of a stream that shows that streams of rules can be created; nobody publishes it."""
    return f"{PREFIX}.probe_rules.{number}"


def dead_letters(service: str, sender: str | None = None) -> str:
    """Return the subject of the messages that a service rejected; `sender` is a token."""
    return f"{PREFIX}.dead_letters.{service}" + (f".{sender}" if sender else "")


def parse_dead_letter(subject: str) -> tuple[str, str | None]:
    """Return the service that rejected a message, and its sender; None if none is known."""
    service, *sender = subject.removeprefix(dead_letters("")).split(".")
    return service, sender[0] if sender else None


def parse_sender(subject: str) -> str | None:
    """Return who published a message, by its subject: the source of an alert, or the sender of a command."""
    if subject.startswith(alert("")):
        return subject.removeprefix(alert("")).split(".")[0]
    return parse_principal(subject)


def catalogue(kind: str, id_: str) -> str:
    """Return the subject of a document in CATALOG; `kind` is one of those above."""
    return f"$KV.{CATALOG_BUCKET}.{kind}.{id_}"


def parse_catalogue(subject: str) -> tuple[str, str]:
    """Return kind and id of the document that a subject of CATALOG holds."""
    _, _, kind, id_ = subject.split(".", 3)
    return kind, id_


def catalogue_of(kind: str) -> str:
    """Return the subjects of all documents of a kind in CATALOG."""
    return f"$KV.{CATALOG_BUCKET}.{kind}.>"


def rules_of(region: str) -> str:
    """Return the subjects of all rules of a region."""
    return f"$KV.{RULES_BUCKET}.{region}.>"


def rule(region: str, key: FeatureKey) -> str:
    """Return the subject of the rules of one feature in one region."""
    return f"$KV.{RULES_BUCKET}.{region}.{key.kind}.{key.name}"


def complete_set(region: str) -> str:
    """Return the subject of the mark that says that all rules of a region are published."""
    return f"$KV.{RULES_BUCKET}.{region}.{COMPLETE}"


def rules_stream(group: int) -> str:
    """Return the stream that holds the rules of a group of regions; the first group is 0."""
    return f"{RULES_STREAM}_{group}" if group else RULES_STREAM


def checkpoint(group: int = 0) -> str:
    """Return the subject of what a publisher has proved of the stream of a group of regions.

    Older versions take it for the mark of a region; no region has such a name.
    """
    return complete_set(f"=checkpoint-{group}" if group else "=checkpoint")


def is_complete_set(subject: str) -> bool:
    """Return whether a subject of RULES is that of such a mark."""
    return subject.count(".") == COMPLETE_SET_DOTS and subject.endswith(f".{COMPLETE}")


def parse_region(subject: str) -> str:
    """Return the region of a subject of RULES or REGIONS."""
    return subject.split(".")[2]


def parse_rule(subject: str) -> tuple[str, FeatureKey]:
    """Return region and feature of a subject of RULES; `ValueError` if a part of it is invalid."""
    _, _, region, kind, name = subject.split(".")
    return _checked_name(region), FeatureKey(FeatureKind(kind), _checked_name(name))


def _checked_name(text: str) -> str:
    """Return a token of a subject that is a name; `ValueError` if nothing of ours can have it."""
    if not _is_name(text):
        raise ValueError(f"invalid name {text!r}: use letters, digits, - and _ (max 100)")
    return text


def applied(region: str, instance: str) -> str:
    """Return the subject of an instance's report."""
    return f"$KV.{APPLIED_BUCKET}.{region}.{instance}"


def applied_in(region: str) -> str:
    """Return the subjects of all reports of a region."""
    return applied(region, "*")


def heartbeat(region: str) -> str:
    """Return the subject of the heartbeats that publishers send to a region."""
    return f"{PREFIX}.heartbeats.{region}"


def region_document(region: str, kind: str, id_: str) -> str:
    """Return the subject of a document of CATALOG that concerns a region."""
    return f"$KV.{REGIONS_BUCKET}.{region}.{kind}.{id_}"


def region_documents(region: str) -> str:
    """Return the subjects of all documents that concern a region."""
    return f"$KV.{REGIONS_BUCKET}.{region}.>"


def hub_api() -> str:
    """Return where the account of a region finds the requests to JetStream that it imports from ours."""
    return f"{PREFIX}.hub_api"


def region_api(region: str, request: str) -> str:
    """Return the subject of a request to JetStream in the account of a region."""
    return f"{PREFIX}.region_api.{region}.{request}"


def delivered(region: str) -> str:
    """Return the prefix of the subjects on which the broker copies into the account of a region."""
    return f"{PREFIX}.delivered.{region}"


def domain_api(domain: str) -> str:
    """Return where requests to the JetStream of a domain are sent, across leaf nodes."""
    return f"$JS.{domain}.API"


def leaf_domain(region: str) -> str:
    """Return the JetStream domain of the leaf node of a region, and the user as which it connects."""
    return f"leaf-{region}"


def leaf_api(region: str, request: str) -> str:
    """Return the subject of a request to JetStream on the leaf node of a region."""
    return region_api(region, f"leaf.{request}")


def copied_to_leaf(consumer: str) -> str:
    """Return where a consumer in the account of a region delivers what its leaf node copies."""
    return f"{PREFIX}.copied.{consumer}"
