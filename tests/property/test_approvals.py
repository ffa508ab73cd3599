"""Whose approvals count, over random approvals, revocations, expiries and keys with the same id.

What has counted is held against a book of the test's own.
"""

from dataclasses import dataclass, field, replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sluiceway.contracts.commands import ApprovePhase
from sluiceway.contracts.feature import PhaseRun, TriggerStatus
from sluiceway.contracts.identity import ApiKey, Grant, Identity, Role
from sluiceway.pipelines.approvals import without_lapsed_approvals
from tests.support.builders import a_phase, a_release

HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"
#: Two keys of bob, one of each of the others.
OWNERS = {"k1": "bob", "k2": "bob", "k3": "eve", "k4": "cleo"}
#: Who approves without a key: by a name, or through a sign-in.
KEYLESS = ("dan", "fay")
SIGNED_IN = "fay"


@dataclass
class Given:
    """An approval, the key that it was given with, and which one of that id."""

    person: str
    key: str | None = None
    created_ms: int = 0


@dataclass
class Keys:
    """The keys that are valid now: when each was created, and when it expires."""

    created: dict[str, int] = field(default_factory=dict)
    expires: dict[str, int] = field(default_factory=dict)

    def is_valid(self, id_: str, now: int) -> bool:
        return id_ in self.created and not (id_ in self.expires and now >= self.expires[id_])


class Approvals(RuleBasedStateMachine):
    """One phase that needs some approvals, and keys that come and go."""

    @initialize(count=st.integers(1, 4))
    def begin(self, count: int) -> None:
        self.count = count
        self.ledger = a_release(a_phase("dev", approvals={"count": count, "allowAuthor": True}))
        self.keys = Keys()
        self.given: list[Given] = []
        #: Who had approved when the phase started; None: it has not.
        self.started_by: set[str] | None = None

    @rule(id_=st.sampled_from(sorted(OWNERS)), expires_after=st.none() | st.integers(1, 5_000))
    def create(self, id_: str, expires_after: int | None) -> None:
        if id_ in self.keys.created:
            return
        self.ledger.now += 1
        self.keys.created[id_] = self.ledger.now
        if expires_after is not None:
            self.keys.expires[id_] = self.ledger.now + expires_after
        self._publish_keys()

    @rule(id_=st.sampled_from(sorted(OWNERS)))
    def revoke(self, id_: str) -> None:
        self.keys.created.pop(id_, None)
        self.keys.expires.pop(id_, None)
        self._publish_keys()

    @rule(ms=st.sampled_from((1, 100, 1_000, 5_000)))
    def wait(self, ms: int) -> None:
        self.ledger.now += ms

    @rule(id_=st.sampled_from(sorted(OWNERS)), stale_ms=st.sampled_from((0, 0, 0, 1)))
    def approve(self, id_: str, stale_ms: int) -> None:
        """Approve with a key, or with one of the same id that was revoked before: its holder is late."""
        created = self.keys.created.get(id_, 0) - stale_ms
        is_valid = self.keys.is_valid(id_, self.ledger.now) and not stale_ms
        identity = self._key(id_, created).identity
        self._approve(Given(OWNERS[id_], id_, created), identity, may=is_valid)

    @rule(person=st.sampled_from(KEYLESS))
    def approve_without_a_key(self, person: str) -> None:
        grants = (Grant(role=Role.APPROVER),)
        console = Identity(name=person, grants=grants, vouched_by="console")
        self._approve(Given(person), console if person == SIGNED_IN else None, may=True)

    @invariant()
    def what_is_shown_is_what_counts(self) -> None:
        if self.started_by is not None:
            assert {given.actor_id for given in self._run().approvals} == self.started_by
            return
        assert self.ledger.trigger.status is TriggerStatus.WAITING_FOR_REVIEW
        feature = without_lapsed_approvals(
            self.ledger.feature, self.ledger.catalogue.api_keys.get, self.ledger.now
        )
        assert feature.trigger
        shown = [given.actor_id for given in feature.trigger.current_run.approvals]
        assert (len(shown), set(shown)) == (len(self._counting()), self._counting())
        assert len(shown) < self.count, "the phase should have started"

    def _approve(self, given: Given, identity: Identity | None, *, may: bool) -> None:
        counting = self._counting()
        is_new = self.started_by is None and may and given.person not in counting
        events = len(self.ledger.events)

        self.ledger.act(ApprovePhase, actor=given.person, identity=identity, phase_id="dev")

        assert (len(self.ledger.events) > events) == is_new
        if not is_new:
            return
        self.given.append(given)
        started = self.ledger.trigger.status is TriggerStatus.IN_PROGRESS
        assert started == (len(counting) + 1 == self.count)
        if started:
            self.started_by = self._counting()

    def _counting(self) -> set[str]:
        return {
            given.person
            for given in self.given
            if given.key is None
            or (
                self.keys.is_valid(given.key, self.ledger.now)
                and self.keys.created[given.key] == given.created_ms
            )
        }

    def _run(self) -> PhaseRun:
        return self.ledger.trigger.phases[0]

    def _key(self, id_: str, created_ms: int) -> ApiKey:
        return ApiKey(
            id=id_,
            owner=OWNERS[id_],
            grants=(Grant(role=Role.APPROVER),),
            hash=HASH,
            created_ms=created_ms,
            expires_ms=self.keys.expires.get(id_),
        )

    def _publish_keys(self) -> None:
        keys = {id_: self._key(id_, created) for id_, created in self.keys.created.items()}
        self.ledger.catalogue = replace(self.ledger.catalogue, api_keys=keys)


TestApprovals = Approvals.TestCase
