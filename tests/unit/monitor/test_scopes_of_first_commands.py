"""Which scope of its source counts for the first command of an alert."""

import pytest

from sluiceway.contracts.alert_sources import AlertSource
from sluiceway.errors import Unavailable
from sluiceway.pipelines.decision import Catalogue

from .answering import Answering, a_release_of


def scopes(**features: str) -> Catalogue:
    """Return a catalogue in which each of these sources may take back one feature."""
    return Catalogue(
        alert_sources={name: AlertSource(name=name, features=(each,)) for name, each in features.items()}
    )


async def test_the_first_scope_of_all_counts_for_what_was_not_acted_on() -> None:
    answering = Answering()
    answering.features.see(a_release_of("checkout").events[-1])
    answering.features.unseen = [a_release_of("search").events[-1]]
    answering.catalogue.unseen = scopes(tests="gate.other")

    answered = await answering.receive(pipeline="release")

    assert answered.triggers == ("gate.checkout.1",)
    assert answered.triggers_out_of_scope == ("gate.search.1",)


@pytest.mark.parametrize(
    ("known", "newest", "requires_sources"),
    [
        (scopes(tests="gate.checkout"), scopes(tests="gate.other"), False),
        (scopes(others="gate.other"), scopes(others="gate.other", tests="gate.other"), False),
        (scopes(tests="gate.checkout"), Catalogue(), True),
    ],
    ids=["narrowed", "added", "deleted"],
)
async def test_a_scope_that_was_saved_before_an_alert_counts_for_its_first_command(
    known: Catalogue, newest: Catalogue, requires_sources: bool
) -> None:
    answering = Answering(requires_sources=requires_sources)
    answering.features.see(a_release_of().events[-1])
    answering.catalogue.contents, answering.catalogue.unseen = known, newest

    answered = await answering.receive(gate="checkout")

    assert answering.commands.sent == []
    assert answered.triggers_out_of_scope == ("gate.checkout.1",)


async def test_a_scope_waits_for_the_catalogue_and_not_for_the_log() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.catalogue.contents = scopes(tests="gate.checkout")

    await answering.receive(gate="checkout")

    assert answering.steps[0] == "roll_back"


async def test_a_required_scope_that_was_saved_before_an_alert_counts_for_its_first_command() -> None:
    answering = Answering(requires_sources=True)
    answering.features.see(a_release_of().events[-1])
    answering.catalogue.unseen = scopes(tests="gate.checkout")

    await answering.receive(gate="checkout")

    assert answering.steps[0] == "roll_back"


async def test_without_the_newest_scopes_no_command_is_sent_and_the_alert_is_not_answered() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.catalogue.contents = scopes(tests="gate.checkout")
    answering.catalogue.is_unavailable = True

    with pytest.raises(Unavailable):
        await answering.receive(gate="checkout")

    assert answering.steps == []


async def test_where_nobody_has_a_scope_the_command_does_not_need_the_catalogue() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.catalogue.is_unavailable = True

    with pytest.raises(Unavailable):
        await answering.receive(gate="checkout")

    assert answering.steps[0] == "roll_back"
    assert "answer" not in answering.steps
