"""The receivers of notifications: a YAML file that the operator writes.

Secrets are in it, or in files of their own.
"""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AnyHttpUrl,
    BeforeValidator,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from sluiceway.contracts.events import EventType
from sluiceway.contracts.identifiers import Name
from sluiceway.contracts.models import AuthoredModel
from sluiceway.contracts.validation_errors import describe_errors
from sluiceway.errors import Misconfigured
from sluiceway.settings import Secret, checked_secret, checked_token
from sluiceway.yaml_documents import InvalidYaml, load_yaml

#: The name of a changed verdict, in a list that otherwise holds types of events.
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
    """The body of a notification."""

    #: CloudEvents 1.0 in JSON
    CLOUDEVENTS = "cloudevents"
    #: `{"text": …}`, which incoming webhooks of Slack, Mattermost and others accept
    SLACK = "slack"


def _checked_url(url: Any) -> Any:
    return checked_token(url) if isinstance(url, str) else url


class Receiver(AuthoredModel):
    """One webhook."""

    name: Name
    #: Often a secret too: it is all that somebody needs to post.
    url: Annotated[AnyHttpUrl, BeforeValidator(_checked_url)]
    form: NotificationFormat = NotificationFormat.CLOUDEVENTS
    #: The key of the signature (https://www.standardwebhooks.com): `whsec_` and base64, or any text, of
    #: which a receiver gives the base64 to its library. Absent: nothing is signed.
    secret: Secret | None = None
    secret_file: Path | None = None
    events: Annotated[frozenset[str], Field(min_length=1)] = DEFAULT_EVENTS
    #: Only events of these pipelines; absent: of all.
    pipelines: frozenset[Name] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.secret and self.secret_file:
            raise ValueError("secret and secretFile are both set: use only one of them")
        if unknown := sorted(self.events - KNOWN_EVENTS):
            raise ValueError(f"unknown event {unknown[0]!r} (known: {', '.join(sorted(KNOWN_EVENTS))})")
        return self


def read_receivers(path: Path) -> tuple[Receiver, ...]:
    """Return the receivers of a file, with their secrets; `Misconfigured` if the file is invalid."""
    try:
        documents = _LIST.validate_python(load_yaml(path.read_text(encoding="utf-8")))
        receivers = tuple(_with_secret(receiver) for receiver in documents)
    except ValidationError as error:
        raise Misconfigured(f"invalid SLUICEWAY_RECEIVERS file {path}: {describe_errors(error)}") from error
    except (OSError, UnicodeDecodeError, InvalidYaml) as error:
        cause = " ".join(str(error).split())
        raise Misconfigured(f"cannot read SLUICEWAY_RECEIVERS file {path}: {cause}") from error
    names = Counter(receiver.name for receiver in receivers)
    if duplicates := [name for name, count in names.items() if count > 1]:
        raise Misconfigured(f"duplicate receiver {duplicates[0]!r} in {path}: use each name once")
    return receivers


_LIST = TypeAdapter(list[Receiver])


def _with_secret(receiver: Receiver) -> Receiver:
    if receiver.secret_file is None:
        return receiver
    try:
        secret = checked_secret(receiver.secret_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        if isinstance(error, UnicodeDecodeError):
            cause = "it is not UTF-8"
        raise Misconfigured(
            f"cannot read secretFile {receiver.secret_file} of the receiver {receiver.name!r}: {cause}"
        ) from None
    return receiver.model_copy(update={"secret": SecretStr(secret)})
