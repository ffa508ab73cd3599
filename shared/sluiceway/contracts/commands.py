"""What may be asked of the scheduler: imperative, one model per verb."""

import hashlib
from typing import Annotated, Any, ClassVar
from uuid import uuid4

from pydantic import Field, StrictBool

from .catalogue import Environment, Region, SdkKey
from .feature import FeatureDocument
from .freeze import Freeze
from .identifiers import FeatureKey, FeatureKind, Name, RegionName, TriggerId, feature_of
from .identity import Actor, ApiKey, Identity
from .models import AuthoredModel
from .pipeline import Pipeline

#: Bytes of a command; a larger one is refused.
COMMAND_MAX_BYTES = 256 * 1024

Reason = Annotated[str, Field(max_length=2_000)]


class Command(AuthoredModel):
    """Who asks, and why. A command sent twice with one id is applied once."""

    verb: ClassVar[str]

    id: Annotated[str, Field(min_length=1, max_length=200)] = Field(default_factory=lambda: uuid4().hex)
    actor: Actor
    reason: Reason | None = None
    #: Who is vouched for. The scheduler says it; what a sender writes here counts only from the console.
    identity: Identity | None = None


def derived_id(kind: str, *parts: object) -> str:
    """Return the id of the command that follows from these very things, however long their names are."""
    digest = hashlib.sha256("\n".join(str(part) for part in parts).encode()).hexdigest()
    return f"{kind}-{digest[:32]}"


class FeatureCommand(Command):
    """A command whose answer is one event of one feature."""

    @property
    def key(self) -> FeatureKey:
        raise NotImplementedError


class StartingCommand(FeatureCommand):
    """A command that may start a phase, and so meet a freeze."""

    #: Start it inside a freeze as well. Needs a reason; the log says which freezes it overrode.
    override_freeze: StrictBool = False


class SaveFeature(StartingCommand):
    """Save a gate or config; with a pipeline, an effective change starts a trigger."""

    verb = "save_feature"
    feature: FeatureDocument
    #: Past the pipeline, which stays attached: for everyone whom the rules name, now.
    at_once: StrictBool = False

    @property
    def key(self) -> FeatureKey:
        return self.feature.key


class ArchiveFeature(FeatureCommand):
    """Take a feature out of every region, at once."""

    verb = "archive_feature"
    kind: FeatureKind
    name: Name

    @property
    def key(self) -> FeatureKey:
        return FeatureKey(self.kind, self.name)


class TriggerCommand(FeatureCommand):
    """A command to one trigger."""

    trigger: TriggerId

    @property
    def key(self) -> FeatureKey:
        return feature_of(self.trigger)


class PhaseCommand(TriggerCommand):
    """A command meant for one phase: refused where another one is current."""

    phase_id: Name


class GuardrailCommand(TriggerCommand):
    """A command that a guardrail may send: with what it measured, which goes into the log."""

    guardrail: dict[str, Any] = {}


class ApprovePhase(PhaseCommand, StartingCommand):
    """Let the phase that waits for review start."""

    verb = "approve"


class PauseTrigger(PhaseCommand, GuardrailCommand):
    """Stop the bake timer; what is released stays released.

    A guardrail may also pause a release that waits for its review.
    """

    verb = "pause"


class UnpauseTrigger(PhaseCommand, StartingCommand):
    """Let the rest of the bake run on."""

    verb = "unpause"


class SkipPhase(PhaseCommand, StartingCommand):
    """End the phase now; one that waits for review is not released."""

    verb = "skip"


class AbortTrigger(TriggerCommand):
    """Take the candidate back everywhere, for good."""

    verb = "abort"


class RollOutTrigger(TriggerCommand, StartingCommand):
    """Give the candidate to everyone now."""

    verb = "roll_out"


class RollBackTrigger(GuardrailCommand):
    """Take the candidate back because of an alert or a guardrail.

    Everywhere, or from the newest phase only if the pipeline says so. If the release has completed and is
    still observed, what was live before it is restored.
    """

    verb = "roll_back"
    alert: dict[str, Any] = {}


class AdvancePhase(PhaseCommand):
    """The bake of this phase is over. Time says this, inside the scheduler; it has no subject."""

    verb = "advance"
    #: Why the phase may not be left.
    holds: tuple[str, ...] = ()


class SavePipeline(Command):
    """Create or replace a pipeline; refused while one of its triggers is active."""

    verb = "save_pipeline"
    pipeline: Pipeline


class DeletePipeline(Command):
    """Delete a pipeline that no feature is attached to."""

    verb = "delete_pipeline"
    pipeline_id: Name


class SaveEnvironment(Command):
    """Create or replace an environment."""

    verb = "save_environment"
    environment: Environment


class DeleteEnvironment(Command):
    """Delete an environment that no region lies in."""

    verb = "delete_environment"
    name: Name


class SaveRegion(Command):
    """Create or replace a region; it receives its rules at once."""

    verb = "save_region"
    region: Region


class DeleteRegion(Command):
    """Delete a region and the rules published for it."""

    verb = "delete_region"
    name: RegionName


class CreateKey(Command):
    """Let a new key read the rules of a region or environment, or identify somebody."""

    verb = "create_key"
    key: Annotated[SdkKey | ApiKey, Field(discriminator="kind")]


class RevokeKey(Command):
    """Refuse a key from now on, everywhere."""

    verb = "revoke_key"
    key_id: Name


class SaveFreeze(Command):
    """Create or replace a freeze; whoever asks afterwards meets it."""

    verb = "save_freeze"
    freeze: Freeze


class DeleteFreeze(Command):
    """Delete a freeze; what it holds goes on."""

    verb = "delete_freeze"
    name: Name


CatalogueCommand = (
    SavePipeline
    | DeletePipeline
    | SaveEnvironment
    | DeleteEnvironment
    | SaveRegion
    | DeleteRegion
    | SaveFreeze
    | DeleteFreeze
    | CreateKey
    | RevokeKey
)

#: Every command that has a subject.
PUBLIC_COMMANDS: tuple[type[Command], ...] = (
    SaveFeature,
    ArchiveFeature,
    ApprovePhase,
    PauseTrigger,
    UnpauseTrigger,
    SkipPhase,
    AbortTrigger,
    RollOutTrigger,
    RollBackTrigger,
    SavePipeline,
    DeletePipeline,
    SaveEnvironment,
    DeleteEnvironment,
    SaveRegion,
    DeleteRegion,
    SaveFreeze,
    DeleteFreeze,
    CreateKey,
    RevokeKey,
)
