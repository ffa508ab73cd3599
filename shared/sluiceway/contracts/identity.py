"""Identity, role and grant: who acts, who vouches for them, and what they may do."""

from typing import Annotated, Literal

from pydantic import Field

from .bounded_lists import FIRST_ERROR, at_most
from .identifiers import Label, Name
from .models import AuthoredModel, WireEnum, WireModel, is_absent
from .persons import Account, Person, canonical_name

GRANTS_MAX = 50
GROUPS_MAX = 100
SCOPE_MAX = 100

#: The actor that the log names.
Actor = Annotated[str, Field(min_length=1, max_length=200)]
#: Name of a person or machine: printable, so that it cannot forge a log line.
Owner = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]

#: The sender that may act for others, since it has checked their key or sign-in itself.
CONSOLE = "console"
#: The sender that rolls releases back, because of alerts and guardrails.
MONITOR = "monitor"
#: Names of services in the log; nobody else may have them.
RESERVED_NAMES = frozenset({CONSOLE, MONITOR, "scheduler"})


def is_reserved(name: str) -> bool:
    """Return whether a name is that of a service, or looks like it."""
    return canonical_name(name) in RESERVED_NAMES


class Role(WireEnum):
    """What somebody may do. Every role may read; admin may do everything."""

    #: read everything
    VIEWER = "viewer"
    #: save and archive features, and so start releases
    EDITOR = "editor"
    #: approve phases
    APPROVER = "approver"
    #: pause, unpause, skip, abort, roll out, roll back; detach a pipeline, override a freeze
    OPERATOR = "operator"
    #: change pipelines, the catalogue and keys
    ADMIN = "admin"


class Grant(AuthoredModel):
    """A role, and where it applies."""

    role: Role
    #: Only for changes that touch no other environment; absent: everywhere.
    environments: (
        Annotated[tuple[Name, ...], FIRST_ERROR, Field(min_length=1, max_length=SCOPE_MAX)] | None
    ) = None
    #: Only for these pipelines and the features they release; absent: for all features.
    pipelines: Annotated[tuple[Name, ...], FIRST_ERROR, Field(min_length=1, max_length=SCOPE_MAX)] | None = (
        None
    )


class Identity(WireModel):
    """A person or machine whom somebody vouches for."""

    #: The actor in the log. It is shown, and decides nothing by itself: see `person`.
    name: Owner
    groups: Annotated[tuple[str, ...], FIRST_ERROR] = ()
    grants: Annotated[tuple[Grant, ...], FIRST_ERROR] = ()
    #: The sender that vouches: the id of a key, or a service.
    vouched_by: Name
    #: When the key that vouches was created; absent if a service vouches.
    key_created_ms: int | None = None
    #: The account of the sign-in, or of the owner of the key; absent: unknown.
    account: Account | None = None

    @property
    def person(self) -> Person:
        """Who it is; each person counts once as an approver."""
        return Person(self.name, self.account)

    @property
    def sender(self) -> tuple[str, ...]:
        """What tells senders apart whose commands have the same id: who vouches, and for whom.

        Two accounts may have one name, and a later key the id of an earlier one.
        """
        whom = (self.account.issuer, self.account.subject) if self.account else (self.name,)
        return (self.vouched_by, str(self.key_created_ms or ""), *whom)


class ApiKey(AuthoredModel):
    """A key for the console; its id may also be in the credentials of a broker's user."""

    kind: Literal["ApiKey"] = "ApiKey"
    #: The public part of the key.
    id: Name
    #: The person or machine that it identifies. Several keys of one owner are one person; so are a key and
    #: a sign-in whose verified e-mail or account is that of the owner.
    owner: Owner
    #: The owner's account at the identity provider, if the owner's name does not tell.
    account: Annotated[Account | None, Field(exclude_if=is_absent)] = None
    groups: Annotated[tuple[Label, ...], FIRST_ERROR, Field(max_length=GROUPS_MAX)] = ()
    grants: Annotated[tuple[Grant, ...], Field(min_length=1, max_length=GRANTS_MAX), at_most(GRANTS_MAX)]
    #: Argon2 of the whole key, in the PHC string format.
    hash: Annotated[str, Field(pattern=r"^\$argon2id\$", max_length=300)]
    created_ms: int
    #: From then on it is invalid; absent: it never expires.
    expires_ms: int | None = None

    def has_expired(self, now_ms: int) -> bool:
        return self.expires_ms is not None and now_ms >= self.expires_ms

    @property
    def identity(self) -> Identity:
        """Whom it identifies while it is valid."""
        return Identity(
            name=self.owner,
            groups=self.groups,
            grants=self.grants,
            vouched_by=self.id,
            key_created_ms=self.created_ms,
            account=self.account,
        )
