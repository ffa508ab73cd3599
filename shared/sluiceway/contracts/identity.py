"""Identity, role and grant: who acts, who vouches for that, and what they may do."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from .identifiers import Label, Name
from .models import AuthoredModel, WireModel

GRANTS_MAX = 50
GROUPS_MAX = 100
SCOPE_MAX = 100

#: Who stands in the log as having acted.
Actor = Annotated[str, Field(min_length=1, max_length=200)]
#: A name that a person or machine may have: printable, so that it forges no line of a log.
Owner = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]

#: The senders whose word about somebody else counts: they have checked a key or a sign-in themselves.
CONSOLE = "console"
#: The sender that takes releases back, because of alerts and guardrails.
MONITOR = "monitor"
#: Names of services in the log, which nobody else may have.
RESERVED_NAMES = frozenset({CONSOLE, MONITOR, "scheduler"})


class Role(StrEnum):
    """What somebody may do. Every role may look; admin may do all."""

    #: look at everything
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
    """A role, where it counts."""

    role: Role
    #: Only for what touches no other environment; absent: everywhere.
    environments: Annotated[tuple[Name, ...], Field(min_length=1, max_length=SCOPE_MAX)] | None = None
    #: Only for these pipelines and what they release; absent: for all, and for what has none.
    pipelines: Annotated[tuple[Name, ...], Field(min_length=1, max_length=SCOPE_MAX)] | None = None


class Identity(WireModel):
    """A person or machine whom somebody vouches for."""

    #: Stands in the log as the actor; an approval counts once per name.
    name: Owner
    groups: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()
    #: The sender that vouches: the id of a key, or a service.
    vouched_by: Name


class ApiKey(AuthoredModel):
    """What somebody shows the console, or whose id stands in the credentials of a broker's user."""

    kind: Literal["ApiKey"] = "ApiKey"
    #: The public part of the key.
    id: Name
    #: Whom it identifies. Several keys of one owner are one person.
    owner: Owner
    groups: Annotated[tuple[Label, ...], Field(max_length=GROUPS_MAX)] = ()
    grants: Annotated[tuple[Grant, ...], Field(min_length=1, max_length=GRANTS_MAX)]
    #: Argon2 of the whole key, in the PHC string format.
    hash: Annotated[str, Field(pattern=r"^\$argon2id\$", max_length=300)]
    created_ms: int
    #: From then on it identifies nobody; absent: never.
    expires_ms: int | None = None

    def has_expired(self, now_ms: int) -> bool:
        return self.expires_ms is not None and now_ms >= self.expires_ms

    @property
    def identity(self) -> Identity:
        """Whom it identifies while it is valid."""
        return Identity(name=self.owner, groups=self.groups, grants=self.grants, vouched_by=self.id)
