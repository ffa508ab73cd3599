"""The streams and subjects of the raw chain."""

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, Header, StreamConfig

LOG, RULES, ALERTS = "RAW_LOG", "RAW_RULES", "RAW_ALERTS"
LOGS, ALL_ALERTS = "raw.log.*", "raw.alerts.*"
COMMANDS = "raw.commands"
QUEUE = "raw-scheduler"
EXPECTED_LAST = Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value
#: More than a stream takes by default, which is 1,000.
CONSUMERS_MAX = 10_000


def log(gate: str) -> str:
    return f"raw.log.{gate}"


def rules(region: int, gate: str) -> str:
    return f"raw.rules.{region}.{gate}"


def alerts(source: str) -> str:
    return f"raw.alerts.{source}"


async def declare(js: JetStreamContext) -> None:
    await js.add_stream(StreamConfig(name=LOG, subjects=[LOGS], allow_direct=True))
    await js.add_stream(StreamConfig(name=ALERTS, subjects=[ALL_ALERTS]))
    await js.add_stream(
        StreamConfig(
            name=RULES,
            subjects=["raw.rules.>"],
            max_msgs_per_subject=1,
            max_consumers=CONSUMERS_MAX,
            discard=DiscardPolicy.OLD,
            allow_direct=True,
        )
    )
