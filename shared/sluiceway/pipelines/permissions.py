"""Which roles the sender of a command needs, and whether the sender has them.

A command without an identity is not checked: it comes over a broker that lets everybody write, or from
the scheduler's own deadlines.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..contracts.catalogue import Environment, Region, SdkKey
from ..contracts.commands import (
    QUERIES,
    ArchiveFeature,
    Command,
    CreateKey,
    DeleteEnvironment,
    DeletePipeline,
    DeleteRegion,
    FeatureCommand,
    SaveEnvironment,
    SaveFeature,
    SavePipeline,
    SaveRegion,
    StartingCommand,
    TriggerCommand,
)
from ..contracts.feature import Feature, Trigger
from ..contracts.identity import Grant, Identity, Role
from ..contracts.pipeline import Phase
from ..contracts.replies import Refusal
from . import refusals
from .actions import ACTIONS, ActionScope
from .decision import Catalogue
from .environment_scopes import EnvironmentScope
from .spec_changes import spec_of, touched_environments

NOWHERE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RequiredRole:
    """A role, and where it must be granted."""

    role: Role
    #: None: everywhere. Empty: anywhere.
    environments: frozenset[str] | None
    #: None: for every pipeline, and for features without one.
    pipelines: frozenset[str] | None

    def is_met(self, grants: Iterable[Grant]) -> bool:
        """Return whether the grants together cover everything that is required."""
        matching = [
            grant for grant in grants if grant.role in (self.role, Role.ADMIN) and self._covers(grant)
        ]
        if any(grant.environments is None for grant in matching):
            return True
        granted = {name for grant in matching for name in grant.environments or ()}
        return self.environments is not None and bool(matching) and self.environments <= granted

    def __str__(self) -> str:
        where = []
        if self.environments:
            where.append(f"in {', '.join(sorted(self.environments))}")
        if self.pipelines:
            where.append(f"for pipeline {', '.join(sorted(self.pipelines))}")
        if self.environments is None and not where:
            where.append("everywhere")
        return " ".join((self.role, *where))

    def _covers(self, grant: Grant) -> bool:
        if grant.pipelines is None:
            return True
        return self.pipelines is not None and self.pipelines <= set(grant.pipelines)


def denied_by_verb(command: type[Command], identity: Identity) -> Refusal | None:
    """Return a refusal if somebody is granted the role of a command nowhere, whatever the command says.

    Who has a key may read.
    """
    if command in QUERIES:
        return None
    role = _role_of_verb(command)
    if any(grant.role in (role, Role.ADMIN) for grant in identity.grants):
        return None
    return refusals.missing_role(identity.name, command, role, describe_grants(identity))


def _role_of_verb(command: type[Command]) -> Role:
    if issubclass(command, TriggerCommand):
        return ACTIONS[command].role
    return Role.EDITOR if issubclass(command, FeatureCommand) else Role.ADMIN


def denied_everywhere(command: Command, state: Feature | None = None) -> Refusal | None:
    """Return a refusal if the sender of a document is not granted the role anywhere.

    It is cheap: nothing of the document is looked at but its name and its pipeline.
    """
    match command:
        case SaveFeature():
            required = _required(_feature_roles(command, state)[:1], NOWHERE, _pipelines(command, state))
        case SavePipeline(pipeline=pipeline):
            required = _required([Role.ADMIN], NOWHERE, frozenset({pipeline.id}))
        case _:
            return None
    return _refuse_unmet(command, required)


def missing_permission(command: Command, state: Feature | None, catalogue: Catalogue) -> Refusal | None:
    """Return a refusal if the sender is not granted all that a command needs; its document may be invalid."""
    if command.identity is None:
        return None
    return _refuse_unmet(command, required_roles(command, state, catalogue))


def required_roles(command: Command, state: Feature | None, catalogue: Catalogue) -> list[RequiredRole]:
    """Return everything that a command needs, the most important role first."""
    if not isinstance(command, FeatureCommand):
        return _required([Role.ADMIN], *_catalogue_scope(command, catalogue))
    environments = _environments(command, state, catalogue)
    return _required(_feature_roles(command, state), environments, _pipelines(command, state))


def has_role_somewhere(identity: Identity, *roles: Role) -> bool:
    """Return whether somebody is granted one of these roles anywhere; admin counts as each of them."""
    return any(grant.role in (*roles, Role.ADMIN) for grant in identity.grants)


def describe_grants(identity: Identity) -> str:
    """Return what somebody is granted, as text."""
    return ", ".join(describe_grant(grant) for grant in identity.grants) or "nothing"


def describe_grant(grant: Grant) -> str:
    """Return a role and where it is granted, as text."""
    granted = RequiredRole(
        grant.role,
        frozenset(grant.environments) if grant.environments else None,
        frozenset(grant.pipelines) if grant.pipelines else None,
    )
    return str(granted)


def _refuse_unmet(command: Command, required: Iterable[RequiredRole]) -> Refusal | None:
    identity = command.identity
    if identity is None:
        return None
    unmet = next((role for role in required if not role.is_met(identity.grants)), None)
    return refusals.missing_role(identity.name, command, unmet, describe_grants(identity)) if unmet else None


def _required(
    roles: Iterable[Role], environments: frozenset[str] | None, pipelines: frozenset[str] | None
) -> list[RequiredRole]:
    return [RequiredRole(role, environments, pipelines) for role in roles]


def _feature_roles(command: FeatureCommand, state: Feature | None) -> list[Role]:
    role = _role_of_verb(type(command))
    overrides = isinstance(command, StartingCommand) and command.override_freeze
    if overrides or _leaves_its_pipeline(command, state):
        return [role, Role.OPERATOR]
    return [role]


def _leaves_its_pipeline(command: FeatureCommand, state: Feature | None) -> bool:
    """Return whether a change bypasses the pipeline of its feature: a rollout to everyone."""
    attached = state.release_pipeline_id if state and not state.archived else None
    match command:
        case SaveFeature():
            stays = command.feature.release_pipeline_id == attached and not command.at_once
            return attached is not None and not stays
        case ArchiveFeature():
            return attached is not None
        case _:
            return False


def _pipelines(command: FeatureCommand, state: Feature | None) -> frozenset[str] | None:
    named = {state.release_pipeline_id} if state else set()
    if isinstance(command, SaveFeature):
        named.add(command.feature.release_pipeline_id)
    if isinstance(command, TriggerCommand):
        named = {state.trigger.pipeline.id} if state and state.trigger else set()
    return frozenset(name for name in named if name) or None


def _environments(
    command: FeatureCommand, state: Feature | None, catalogue: Catalogue
) -> frozenset[str] | None:
    """Return the environments whose answers a command may change; None: all."""
    match command:
        case SaveFeature(feature=document):
            before = state.base if state and not state.archived else None
            after = spec_of(document, 0, None)
            return frozenset(touched_environments(before, after, catalogue.environments))
        case TriggerCommand() if state and state.trigger:
            return _scope_of(command, state.trigger, catalogue)
        case _:
            return None


def _scope_of(command: TriggerCommand, trigger: Trigger, catalogue: Catalogue) -> frozenset[str] | None:
    """Return the environments in which an action opens, stops or takes back the candidate."""
    phases, current = trigger.pipeline.phases, trigger.current
    match ACTIONS[type(command)].scope:
        case ActionScope.EVERYWHERE:
            return None
        case ActionScope.CURRENT_PHASE:
            return _covered(phases[current : current + 1], catalogue)
        case ActionScope.CURRENT_AND_NEXT_PHASE:
            return _covered(phases[current : current + 2], catalogue)
        case ActionScope.REACHED_PHASES:
            return _covered(phases[: current + 1], catalogue)


def _covered(phases: tuple[Phase, ...], catalogue: Catalogue) -> frozenset[str]:
    """Return the environments that may have users in the phases."""
    scopes = [EnvironmentScope.of(rule) for phase in phases for rule in phase.rules]
    return frozenset(name for name in catalogue.environments if any(s.may_include(name) for s in scopes))


def _catalogue_scope(
    command: Command, catalogue: Catalogue
) -> tuple[frozenset[str] | None, frozenset[str] | None]:
    """Return the environments and pipelines that a document of the catalogue affects."""
    match command:
        case SavePipeline(pipeline=pipeline):
            known = catalogue.pipelines.get(pipeline.id)
            phases = pipeline.phases + (known.phases if known else ())
            return _covered(phases, catalogue), frozenset({pipeline.id})
        case DeletePipeline(pipeline_id=id_):
            known = catalogue.pipelines.get(id_)
            return _covered(known.phases if known else (), catalogue), frozenset({id_})
        case SaveEnvironment(environment=Environment(name=name)) | DeleteEnvironment(name=name):
            return frozenset({name}), None
        case SaveRegion(region=region):
            return _of_regions(region, catalogue.regions.get(region.name)), None
        case DeleteRegion(name=name):
            return _of_regions(catalogue.regions.get(name)), None
        case CreateKey(key=SdkKey(environment=str(name))):
            return frozenset({name}), None
        case CreateKey(key=SdkKey(region=str(name))):
            return _of_regions(catalogue.regions.get(name)), None
        case _:
            return None, None


def _of_regions(*regions: Region | None) -> frozenset[str] | None:
    return frozenset(region.environment for region in regions if region) or None
