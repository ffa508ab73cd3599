"""Who may do what: every command × every role, and where grants count."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.contracts.commands import (
    PUBLIC_COMMANDS,
    QUERIES,
    AbortTrigger,
    ApprovePhase,
    ArchiveFeature,
    Command,
    ExtendBake,
    PauseTrigger,
    RollBackTrigger,
    RollOutTrigger,
    SaveFeature,
    SavePipeline,
    SkipPhase,
    UnpauseTrigger,
)
from sluiceway.contracts.feature import Feature
from sluiceway.contracts.identity import Grant, Identity, Role
from sluiceway.contracts.replies import RefusalCode
from sluiceway.pipelines.catalogue_decisions import Usage, decide_catalogue
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.permissions import denied_by_verb, missing_permission
from tests.support.builders import (
    EVERYONE,
    NOW,
    Ledger,
    a_catalogue,
    a_gate,
    a_phase,
    a_pipeline,
    a_region,
    a_release,
    refused,
)

TRIGGER = "gate.checkout.1"
DEV, PROD = a_phase("dev"), a_phase("prod", environments=["production"])
#: A valid body of each command that is about the catalogue.
DOCUMENTS: dict[str, dict[str, Any]] = {
    "save_pipeline": {"pipeline": a_pipeline()},
    "delete_pipeline": {"pipeline_id": "release"},
    "save_environment": {"environment": {"name": "qa"}},
    "delete_environment": {"name": "qa"},
    "save_region": {"region": a_region()},
    "delete_region": {"name": "dev"},
    "save_freeze": {"freeze": {"name": "f", "weekly": [{"from": "Fri 16:00", "to": "Mon 08:00"}]}},
    "delete_freeze": {"name": "f"},
    "save_alert_source": {"source": {"name": "pager"}},
    "delete_alert_source": {"name": "pager"},
    "create_key": {
        "key": {"kind": "SdkKey", "id": "k", "region": "dev", "digest": "0" * 64, "created_ms": 0}
    },
    "revoke_key": {"key_id": "k"},
}
NEEDED = {
    SaveFeature: Role.EDITOR,
    ArchiveFeature: Role.EDITOR,
    ApprovePhase: Role.APPROVER,
    PauseTrigger: Role.OPERATOR,
    UnpauseTrigger: Role.OPERATOR,
    SkipPhase: Role.OPERATOR,
    ExtendBake: Role.OPERATOR,
    AbortTrigger: Role.OPERATOR,
    RollOutTrigger: Role.OPERATOR,
    RollBackTrigger: Role.OPERATOR,
}


def who(*grants: Grant | Role) -> Identity:
    """Return somebody with these grants; a role alone counts everywhere."""
    whole = tuple(grant if isinstance(grant, Grant) else Grant(role=grant) for grant in grants)
    return Identity(name="bea", grants=whole, vouched_by="key")


def command(model: type[Command], identity: Identity | None, **fields: Any) -> Command:
    if "phase_id" in model.model_fields:
        fields.setdefault("phase_id", "dev")
    if "trigger" in model.model_fields:
        fields.setdefault("trigger", TRIGGER)
    if model is SaveFeature:
        fields.setdefault("feature", a_gate(EVERYONE, releasePipelineID="release"))
    if model is ArchiveFeature:
        fields |= {"kind": "gate", "name": "checkout"}
    fields = {**DOCUMENTS.get(model.verb, {}), **fields}
    return model.model_validate({"actor": "bea", "identity": identity, **fields})


def may(model: type[Command], *grants: Grant | Role, state: Feature | None = None, **fields: Any) -> bool:
    """Say whether somebody with these grants may do it to a gate that is being released in dev."""
    ledger = a_release(DEV, PROD)
    return (
        missing_permission(command(model, who(*grants), **fields), state or ledger.feature, ledger.catalogue)
        is None
    )


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("model", PUBLIC_COMMANDS, ids=lambda model: model.verb)
def test_every_command_has_its_role(model: type[Command], role: Role) -> None:
    needed = NEEDED.get(model, Role.ADMIN)
    if model is ArchiveFeature:  # the gate is attached to a pipeline: see below
        assert may(model, role) == (role is Role.ADMIN)
    else:
        assert may(model, role) == (role in (needed, Role.ADMIN))


@pytest.mark.parametrize("model", QUERIES, ids=lambda model: model.verb)
def test_who_has_a_key_may_read(model: type[Command]) -> None:
    assert denied_by_verb(model, who(Role.VIEWER)) is None
    assert denied_by_verb(model, who()) is None


@pytest.mark.parametrize("model", PUBLIC_COMMANDS, ids=lambda model: model.verb)
def test_a_sender_without_an_identity_is_not_checked_here(model: type[Command]) -> None:
    ledger = a_release(DEV, PROD)

    assert missing_permission(command(model, None), ledger.feature, ledger.catalogue) is None


def test_leaving_the_pipeline_is_an_operators_business_as_well() -> None:
    detached = a_gate(EVERYONE)
    elsewhere = a_gate(EVERYONE, releasePipelineID="other")

    for document in (detached, elsewhere):
        assert not may(SaveFeature, Role.EDITOR, feature=document)
        assert not may(SaveFeature, Role.OPERATOR, feature=document)
        assert may(SaveFeature, Role.EDITOR, Role.OPERATOR, feature=document)
    attached = a_gate(EVERYONE, releasePipelineID="release")
    assert may(SaveFeature, Role.EDITOR, feature=attached)
    assert not may(SaveFeature, Role.EDITOR, feature=attached, at_once=True)
    assert may(SaveFeature, Role.EDITOR, Role.OPERATOR, feature=attached, at_once=True)
    assert not may(ArchiveFeature, Role.EDITOR)
    assert may(ArchiveFeature, Role.EDITOR, Role.OPERATOR)


def test_attaching_a_pipeline_is_an_editors() -> None:
    ledger = Ledger()
    ledger.save(a_gate())

    assert may(SaveFeature, Role.EDITOR, state=ledger.feature)
    assert may(ArchiveFeature, Role.EDITOR, state=ledger.feature)


def test_overriding_a_freeze_is_an_operators_business_as_well() -> None:
    assert not may(ApprovePhase, Role.APPROVER, override_freeze=True)
    assert may(ApprovePhase, Role.APPROVER, Role.OPERATOR, override_freeze=True)


@pytest.mark.parametrize(
    ("model", "environments", "allowed"),
    [
        (ApprovePhase, ["development"], True),
        (ApprovePhase, ["production"], False),
        (PauseTrigger, ["development"], True),
        (SkipPhase, ["development"], False),
        (SkipPhase, ["development", "production"], True),
        (AbortTrigger, ["development"], True),
        (RollOutTrigger, ["development", "staging", "production"], False),
        (SaveFeature, ["development"], False),
        (SaveFeature, ["development", "staging", "production"], True),
    ],
)
def test_a_grant_counts_only_for_what_touches_no_other_environment(
    model: type[Command], environments: list[str], allowed: bool
) -> None:
    role = NEEDED[model]

    assert may(model, Grant(role=role, environments=tuple(environments))) == allowed


def test_grants_add_up_environment_by_environment() -> None:
    dev = Grant(role=Role.OPERATOR, environments=("development",))
    prod = Grant(role=Role.OPERATOR, environments=("production",))

    assert may(SkipPhase, dev, prod)
    assert not may(SkipPhase, dev, Grant(role=Role.APPROVER, environments=("production",)))


def test_a_grant_counts_only_for_its_pipelines() -> None:
    own, other = (Grant(role=Role.ADMIN, pipelines=(name,)) for name in ("release", "other"))

    assert may(AbortTrigger, own)
    assert not may(AbortTrigger, other)
    assert may(SaveFeature, own)
    assert may(SaveFeature, own, feature=a_gate(EVERYONE))
    assert not may(SaveFeature, own, feature=a_gate(EVERYONE, releasePipelineID="other"))
    ledger = Ledger()
    ledger.save(a_gate())
    assert not may(SaveFeature, own, state=ledger.feature, feature=a_gate(EVERYONE))


def test_a_narrow_admin_changes_what_is_its_own() -> None:
    ledger = a_release(DEV, PROD)
    catalogue = replace(ledger.catalogue, regions={"dev": a_region()})
    narrow = who(Grant(role=Role.ADMIN, environments=("development",)))

    def refusal(model: str, **fields: Any) -> bool:
        found = next(one for one in PUBLIC_COMMANDS if one.verb == model)
        return missing_permission(command(found, narrow, **fields), None, catalogue) is not None

    assert not refusal("save_region")
    assert refusal("save_region", region=a_region("dev", "production"))
    assert refusal("save_environment")
    assert not refusal("save_environment", environment={"name": "development"})
    assert refusal("revoke_key")
    assert refusal("save_freeze")


@pytest.mark.parametrize(("operator", "target"), [("what", "x"), ("str_matches", "^dev")])
def test_what_cannot_be_told_without_looking_into_a_document_counts_as_everywhere(
    operator: str, target: str
) -> None:
    condition = {"type": "environment_tier", "operator": operator, "targetValue": target}
    rule = {"name": "r", "conditions": [condition]}
    narrow = who(Grant(role=Role.EDITOR, environments=("development",)))

    def code(rule: dict[str, Any]) -> RefusalCode | None:
        saved = command(SaveFeature, narrow, feature=a_gate(rule))
        assert isinstance(saved, SaveFeature)
        return getattr(decide(None, saved, NOW, a_catalogue()), "code", None)

    assert code(rule) is RefusalCode.NOT_ALLOWED
    assert code({**rule, "environments": ["development"]}) is not RefusalCode.NOT_ALLOWED


def test_nothing_of_a_document_is_compiled_before_its_sender_may_save_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a pattern was read before its author was authorised")

    monkeypatch.setattr("sluiceway.evaluation.patterns.PatternTranslator", fail)
    condition = {"type": "environment_tier", "operator": "str_matches", "targetValue": "(?:a{9}){9}"}
    rule = {"name": "r", "environments": ["production"], "conditions": [condition]}
    narrow = who(Grant(role=Role.EDITOR, environments=("development",)))
    narrow_admin = who(Grant(role=Role.ADMIN, environments=("development",)))
    pipeline = a_pipeline(a_phase("prod", environments=["production"], conditions=[condition]))

    feature = decide(None, command(SaveFeature, narrow, feature=a_gate(rule)), NOW, a_catalogue())  # type: ignore[arg-type]
    saved = decide_catalogue(command(SavePipeline, narrow_admin, pipeline=pipeline), a_catalogue(), Usage())

    assert getattr(feature, "code", None) is RefusalCode.NOT_ALLOWED
    assert getattr(saved, "code", None) is RefusalCode.NOT_ALLOWED


def test_a_reading_is_called_old_only_to_those_who_may_act_at_all() -> None:
    ledger = a_release(DEV, PROD)
    abort = command(AbortTrigger, who(Role.VIEWER)).model_copy(update={"expected_revision": "1-00000000"})

    refusal = refused(decide(ledger.state, abort, NOW, ledger.catalogue, "2-00000000"))  # type: ignore[arg-type]

    assert refusal.code is RefusalCode.NOT_ALLOWED


def test_the_refusal_says_what_it_would_need_and_what_there_is() -> None:
    ledger = a_release(DEV, PROD)
    abort = command(AbortTrigger, who(Grant(role=Role.VIEWER, environments=("development",))))

    refusal = refused(decide(ledger.state, abort, NOW, ledger.catalogue))  # type: ignore[arg-type]

    assert refusal.code is RefusalCode.NOT_ALLOWED
    assert refusal.message == (
        "bea may not abort here: this needs the role operator in development for pipeline release, "
        "but bea is granted viewer in development; ask an admin for it"
    )


def test_the_catalogue_is_an_admins() -> None:
    save = command(next(m for m in PUBLIC_COMMANDS if m.verb == "save_environment"), who(Role.EDITOR))

    refusal = decide_catalogue(save, a_catalogue(), Usage())

    assert getattr(refusal, "code", None) is RefusalCode.NOT_ALLOWED


SCOPES = st.none() | st.lists(
    st.sampled_from(["development", "staging", "production"]), min_size=1, max_size=3
)
GRANTS = st.lists(
    st.builds(
        lambda role, environments, pipelines: Grant.model_validate(
            {"role": role, "environments": environments, "pipelines": pipelines}
        ),
        st.sampled_from(Role),
        SCOPES,
        st.none() | st.just(["release"]) | st.just(["other"]),
    ),
    max_size=4,
)


@given(GRANTS, GRANTS, st.sampled_from(PUBLIC_COMMANDS))
def test_more_grants_never_forbid_more(
    some: Sequence[Grant], more: Sequence[Grant], model: type[Command]
) -> None:
    if may(model, *some):
        assert may(model, *some, *more)


@given(GRANTS, st.sampled_from(PUBLIC_COMMANDS))
def test_an_admin_everywhere_may_do_all(others: Sequence[Grant], model: type[Command]) -> None:
    assert may(model, Role.ADMIN, *others)
