"""What a command needs its sender to be granted, and whether that is so.

A command that nobody is vouched for is not looked at here: it comes over a broker that lets everybody
write, or from time itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..contracts.catalogue import Environment, Region, SdkKey
from ..contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    ArchiveFeature,
    Command,
    CreateKey,
    DeleteEnvironment,
    DeletePipeline,
    DeleteRegion,
    FeatureCommand,
    RollBackTrigger,
    RollOutTrigger,
    SaveEnvironment,
    SaveFeature,
    SavePipeline,
    SaveRegion,
    SkipPhase,
    StartingCommand,
    TriggerCommand,
)
from ..contracts.feature import Feature, Trigger
from ..contracts.identity import Grant, Identity, Role
from ..contracts.pipeline import Phase
from ..contracts.replies import Refusal, RefusalCode
from .decision import Catalogue, refusal
from .segments import Extent, Location, coverage
from .spec_changes import spec_of, touched_environments
from .validation import feature_errors, pipeline_errors


@dataclass(frozen=True, slots=True)
class RequiredRole:
    """A role, and where it has to count."""

    role: Role
    #: None: everywhere.
    environments: frozenset[str] | None
    #: None: whatever the pipeline, and without one.
    pipelines: frozenset[str] | None

    def is_met(self, grants: Iterable[Grant]) -> bool:
        """Say whether the grants, each where it counts, add up to all that is needed."""
        fitting = [grant for grant in grants if grant.role in (self.role, Role.ADMIN) and self._fits(grant)]
        if any(grant.environments is None for grant in fitting):
            return True
        describe_grants = {name for grant in fitting for name in grant.environments or ()}
        return self.environments is not None and bool(fitting) and self.environments <= describe_grants

    def __str__(self) -> str:
        where = []
        if self.environments:
            where.append(f"in {', '.join(sorted(self.environments))}")
        if self.pipelines:
            where.append(f"for pipeline {', '.join(sorted(self.pipelines))}")
        return f"{self.role} {' '.join(where) or 'everywhere'}"

    def _fits(self, grant: Grant) -> bool:
        if grant.pipelines is None:
            return True
        return self.pipelines is not None and self.pipelines <= set(grant.pipelines)


def missing_permission(command: Command, state: Feature | None, catalogue: Catalogue) -> Refusal | None:
    """Return why its sender may not do this; None where it may, or where nobody is vouched for."""
    identity = command.identity
    if identity is None:
        return None
    missing = [need for need in required_roles(command, state, catalogue) if not need.is_met(identity.grants)]
    if not missing:
        return None
    return refusal(
        RefusalCode.NOT_ALLOWED,
        f"{identity.name} may not {command.verb.replace('_', ' ')} here: that needs the role {missing[0]}, "
        f"and what is granted is {describe_grants(identity)}; ask an admin for it",
    )


def describe_grants(identity: Identity) -> str:
    """Return what somebody is granted, in words."""
    return ", ".join(describe_grant(grant) for grant in identity.grants) or "nothing"


def required_roles(command: Command, state: Feature | None, catalogue: Catalogue) -> list[RequiredRole]:
    """Return all that a command needs, the most important first."""
    if not isinstance(command, FeatureCommand):
        return [RequiredRole(Role.ADMIN, *_scope(command, catalogue))]
    environments = _environments(command, state, catalogue)
    pipelines = _pipelines(command, state)
    roles = [_role(command)]
    if _leaves_its_pipeline(command, state) or _overrides(command):
        roles.append(Role.OPERATOR)
    return [RequiredRole(role, environments, pipelines) for role in roles]


def _role(command: FeatureCommand) -> Role:
    match command:
        case SaveFeature() | ArchiveFeature():
            return Role.EDITOR
        case ApprovePhase():
            return Role.APPROVER
        case _:
            return Role.OPERATOR


def _overrides(command: FeatureCommand) -> bool:
    return isinstance(command, StartingCommand) and command.override_freeze


def _leaves_its_pipeline(command: FeatureCommand, state: Feature | None) -> bool:
    """Say whether a change goes past the phases that its feature was attached to: a rollout to everyone."""
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
    before = state.base if state and not state.archived else None
    match command:
        case SaveFeature(feature=document) if feature_errors(document, catalogue.environments):
            return frozenset()  # it will be refused, whoever asks
        case SaveFeature(feature=document):
            after = spec_of(document, 0, None)
            return frozenset(touched_environments(before, after, catalogue.environments))
        case RollOutTrigger() | ArchiveFeature():
            return None
        case TriggerCommand() if state and state.trigger:
            return _covered(_phases(command, state.trigger), catalogue)
        case _:
            return None


def _phases(command: TriggerCommand, trigger: Trigger) -> tuple[Phase, ...]:
    """Return the phases whose segments a command opens, stops or takes back."""
    phases = trigger.pipeline.phases
    match command:
        case SkipPhase():
            return phases[trigger.current : trigger.current + 2]
        case AbortTrigger() | RollBackTrigger():
            return phases[: trigger.current + 1]
        case _:
            return phases[trigger.current : trigger.current + 1]


def _covered(phases: tuple[Phase, ...], catalogue: Catalogue) -> frozenset[str]:
    """Return the environments that may hold somebody whom the phases cover."""
    return frozenset(
        name
        for name in catalogue.environments
        if coverage(phases, Location(name, {})).extent is not Extent.NONE
    )


def _scope(command: Command, catalogue: Catalogue) -> tuple[frozenset[str] | None, frozenset[str] | None]:
    """Return the environments and pipelines that a document of the catalogue is about."""
    match command:
        case SavePipeline(pipeline=pipeline):
            if pipeline_errors(pipeline, catalogue.environments, catalogue.regions.values()):
                return frozenset(), frozenset({pipeline.id})  # it will be refused, whoever asks
            known = catalogue.pipelines.get(pipeline.id)
            phases = pipeline.phases + (known.phases if known else ())
            return _covered(phases, catalogue), frozenset({pipeline.id})
        case DeletePipeline(pipeline_id=id_):
            known = catalogue.pipelines.get(id_)
            return _covered(known.phases if known else (), catalogue), frozenset({id_})
        case SaveEnvironment(environment=Environment(name=name)) | DeleteEnvironment(name=name):
            return frozenset({name}), None
        case SaveRegion(region=region):
            before = catalogue.regions.get(region.name)
            return _of_regions(region, before), None
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


def describe_grant(grant: Grant) -> str:
    """Return a role and where it counts, in words."""
    need = RequiredRole(
        grant.role,
        frozenset(grant.environments) if grant.environments else None,
        frozenset(grant.pipelines) if grant.pipelines else None,
    )
    return str(need)
