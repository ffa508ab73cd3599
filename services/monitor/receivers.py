"""Who is told of what: a YAML file that the operator writes. Secrets stay in it, or in files of their own."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import AnyHttpUrl, Field, SecretStr, TypeAdapter, ValidationError, model_validator

from sluiceway.contracts.events import EventType
from sluiceway.contracts.identifiers import Name
from sluiceway.contracts.models import AuthoredModel
from sluiceway.contracts.validation_errors import describe_errors
from sluiceway.errors import Misconfigured

#: Verdicts of guardrails, beside the events of the log.
VERDICT = "guardrail_verdict"
DEFAULT_EVENTS = frozenset(
    (
        EventType.TRIGGER_STARTED,
        EventType.PHASE_HELD,
        EventType.TRIGGER_PAUSED,
        EventType.TRIGGER_COMPLETED,
        EventType.TRIGGER_ROLLED_OUT,
        EventType.TRIGGER_ABORTED,
        EventType.TRIGGER_ROLLED_BACK,
        EventType.PHASE_ROLLED_BACK,
        VERDICT,
    )
)
KNOWN_EVENTS = frozenset((*EventType, VERDICT))


class NotificationFormat(StrEnum):
    """What a receiver understands."""

    #: CloudEvents 1.0 in JSON, signed as https://www.standardwebhooks.com says
    CLOUDEVENTS = "cloudevents"
    #: `{"text": …}`, as incoming webhooks of Slack, Mattermost and others take it
    SLACK = "slack"


class Receiver(AuthoredModel):
    """One webhook."""

    name: Name
    url: AnyHttpUrl
    form: NotificationFormat = NotificationFormat.CLOUDEVENTS
    #: The key of the signature: `whsec_` and base64, or any text. Without one nothing is signed.
    secret: SecretStr | None = None
    secret_file: Path | None = None
    events: Annotated[frozenset[str], Field(min_length=1)] = DEFAULT_EVENTS
    #: Only of these pipelines; absent: of all.
    pipelines: frozenset[Name] | None = None

    @model_validator(mode="after")
    def _is_clear(self) -> Self:
        if self.secret and self.secret_file:
            raise ValueError("give secret or secretFile, not both")
        if unknown := sorted(self.events - KNOWN_EVENTS):
            raise ValueError(f"there is no event {unknown[0]!r}; there are {', '.join(sorted(KNOWN_EVENTS))}")
        return self


def read_receivers(path: Path) -> tuple[Receiver, ...]:
    """Return the receivers of a file, their secrets read; `Misconfigured` where it is not right."""
    try:
        found = _LIST.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
        receivers = tuple(_with_secret(receiver) for receiver in found)
    except ValidationError as error:
        raise Misconfigured(f"{path}, which SLUICEWAY_RECEIVERS names: {describe_errors(error)}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise Misconfigured(f"{path}, which SLUICEWAY_RECEIVERS names, cannot be read: {why}") from error
    names = [receiver.name for receiver in receivers]
    if len(names) != len(set(names)):
        raise Misconfigured(f"{path}: two receivers have one name; the names are {', '.join(names)}")
    return receivers


_LIST = TypeAdapter(list[Receiver])


def _with_secret(receiver: Receiver) -> Receiver:
    if receiver.secret_file is None:
        return receiver
    secret = SecretStr(receiver.secret_file.read_text(encoding="utf-8").strip())
    return receiver.model_copy(update={"secret": secret})
