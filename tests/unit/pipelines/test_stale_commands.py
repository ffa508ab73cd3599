"""A command may name the revision that its sender has read; it applies to no other."""

from sluiceway.contracts.commands import ArchiveFeature, SaveFeature
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.identity import Grant, Identity, Role
from sluiceway.contracts.replies import RefusalCode
from sluiceway.contracts.revisions import NOTHING_STORED, is_revision_tag, revision_tag, sequence_of
from sluiceway.pipelines.decide import decide
from tests.support.builders import (
    EVERYONE,
    NOW,
    Ledger,
    a_catalogue,
    a_feature,
    a_gate,
    a_pipeline,
    a_release,
    happened,
    refused,
    unchanged,
)

REVISION, OLDER = "17-3f9a21bc", "16-00c0ffee"


def test_a_command_from_an_old_reading_is_refused() -> None:
    ledger = a_release()
    command = ArchiveFeature(actor="ada", kind=FeatureKind.GATE, name="checkout", expected_revision=OLDER)

    refusal = refused(decide(ledger.state, command, NOW, ledger.catalogue, REVISION))

    assert refusal.code is RefusalCode.STALE
    assert f"its revision is now {REVISION}, and this was made from {OLDER}" in refusal.message


def test_a_command_from_the_newest_reading_or_from_none_is_decided() -> None:
    catalogue = a_catalogue()
    for expected in (NOTHING_STORED, None):
        save = SaveFeature(actor="ada", feature=a_gate(EVERYONE), expected_revision=expected)

        happened(decide(None, save, NOW, catalogue, NOTHING_STORED))


def test_a_creation_of_what_exists_is_refused() -> None:
    state = a_feature()
    save = SaveFeature(actor="ada", feature=a_gate(), expected_revision=NOTHING_STORED)

    refusal = refused(decide(state, save, NOW, a_catalogue(), REVISION))

    assert (
        refusal.message
        == f"gate.checkout exists already, last changed (revision {REVISION}); read it, then change it"
    )


def test_a_command_that_is_sent_again_is_answered_from_whatever_reading() -> None:
    ledger = Ledger()
    save = SaveFeature(actor="ada", feature=a_gate(EVERYONE), expected_revision=NOTHING_STORED)
    ledger.decide(save)

    unchanged(decide(ledger.state, save, NOW, ledger.catalogue, REVISION))


def test_a_stale_edit_is_called_stale_and_not_forbidden() -> None:
    """With an old document it seems to detach the pipeline, which an editor may not do."""
    ledger = Ledger(a_catalogue(a_pipeline()))
    ledger.save(a_gate(EVERYONE, releasePipelineID="release"))
    editor = Identity(name="edna", grants=(Grant(role=Role.EDITOR),), vouched_by="key")
    save = SaveFeature(actor="edna", identity=editor, feature=a_gate(), expected_revision=OLDER)

    assert refused(decide(ledger.state, save, NOW, ledger.catalogue, REVISION)).code is RefusalCode.STALE


def test_two_states_at_the_same_sequence_have_two_tags() -> None:
    before, after = revision_tag(17, "command-1", 5), revision_tag(17, "command-2", 5)

    assert before != after
    assert (sequence_of(before), sequence_of(after), sequence_of(NOTHING_STORED)) == (17, 17, 0)
    assert is_revision_tag(before)
    assert not is_revision_tag("17")
