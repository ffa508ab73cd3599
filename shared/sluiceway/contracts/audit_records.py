"""What the stream AUDIT holds: who signed in, used a key, was refused; each record chained to the one before.

A record is canonical JSON: ASCII, keys sorted, no white space. Its hash is the SHA-256 of that JSON without
the field `hash`; the field `previous` is the hash of the record before it of the same service. So nobody can
alter, remove or reorder records without changing all hashes after them.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from .identifiers import Name
from .models import WireEnum, WireModel
from .persons import Account

#: The version of the form; a reader ignores fields that it does not know.
VERSION = 1
#: Characters kept of a text in a record.
TEXT_MAX = 300
#: The `previous` of the first record.
NO_HASH = ""
HASH_FIELD = "hash"


class AuditType(WireEnum):
    """What a record says."""

    #: somebody signed in on the page
    SIGNED_IN = "signed_in"
    #: a sign-in was refused
    SIGN_IN_FAILED = "sign_in_failed"
    SIGNED_OUT = "signed_out"
    #: all sessions of a key or account were ended
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    #: a key was used, for the first time in an hour from this address
    KEY_USED = "key_used"
    #: a key that is wrong, revoked or expired was sent
    KEY_REFUSED = "key_refused"
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    #: the sender may not do it
    DENIED = "denied"
    #: the sender may do it, but not now or not so
    REFUSED = "refused"
    #: so many further records of a source were left out, so that it does not fill the stream
    SUPPRESSED = "suppressed"
    #: so many records could not be stored in time
    LOST = "lost"
    #: the stream ends before a record that this service has seen in it
    HISTORY_WENT_BACK = "history_went_back"


class AuditFields(WireModel):
    """What an event and its record have. There is never a secret in it: keys are named by their ids."""

    time_ms: int
    #: Whom somebody vouches for; absent: nobody.
    actor: str | None = None
    account: Account | None = None
    #: The id of a key, or a service.
    vouched_by: str | None = None
    #: Where the request came from.
    address: str | None = None
    #: What it was about, for example `approve gate.checkout.1`.
    about: str = ""
    #: The code of a refusal, or an HTTP status.
    code: str | None = None
    reason: str = ""
    #: How many, of `suppressed` and `lost`.
    count: int | None = None

    @property
    def source(self) -> str | None:
        """The key, the account or the address that it counts for; None if there is none of them."""
        if self.account and self.actor:
            return f"account {self.account.issuer} {self.account.subject}"
        if self.vouched_by and self.actor:
            return f"{self.vouched_by} {self.actor}"
        return None if self.address is None else f"address {self.address}"


class AuditEvent(AuditFields):
    """Something to record."""

    type: AuditType


class AuditRecord(AuditFields):
    """A record as it is stored."""

    #: An `AuditType`, or what a newer version records.
    type: str
    version: int
    service: Name
    #: Counts the records of the service, from 1.
    number: Annotated[int, Field(ge=1)]
    previous: str
    hash: str


class ChainEnd(NamedTuple):
    """The newest record of a service: its number and hash."""

    number: int
    hash: str


START_OF_CHAIN = ChainEnd(0, NO_HASH)


def link(event: AuditEvent, service: str, end: ChainEnd) -> tuple[bytes, ChainEnd]:
    """Return an event as the record after `end`, and the new end of the chain."""
    fields = event.model_dump(mode="json", exclude_none=True)
    for name in ("actor", "about", "reason", "address"):
        if name in fields:
            fields[name] = fields[name][:TEXT_MAX]
    fields |= {"version": VERSION, "service": service, "number": end.number + 1, "previous": end.hash}
    hash_ = record_hash(fields)
    return canonical_json({**fields, HASH_FIELD: hash_}), ChainEnd(end.number + 1, hash_)


def record_hash(fields: Mapping[str, Any]) -> str:
    """Return the hash of a record's fields, without its own."""
    covered = {name: value for name, value in fields.items() if name != HASH_FIELD}
    return hashlib.sha256(canonical_json(covered)).hexdigest()


def canonical_json(fields: Mapping[str, Any]) -> bytes:
    """Return the one form of an object that is hashed and stored."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
