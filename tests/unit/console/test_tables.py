"""Tables of the console that must cover every status or action."""

from services.console.official.official_triggers import ACTIVE_STATUSES, STATUSES
from services.console.official.trigger_routes import ACTION_ROUTES
from services.console.pages.action_offers import ACTIONS
from services.console.pages.progress import CSS_CLASSES, TEXTS
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.pipelines.actions import MANUAL_ACTIONS


def test_every_status_has_an_official_one_a_text_and_a_css_class() -> None:
    assert set(STATUSES) == set(TEXTS) == set(CSS_CLASSES) == set(TriggerStatus)


def test_a_status_is_active_here_if_the_official_one_is() -> None:
    for status, official in STATUSES.items():
        assert status.is_active == (official in ACTIVE_STATUSES)


def test_every_manual_action_has_a_route_and_a_button() -> None:
    commands = {action.command for action in MANUAL_ACTIONS.values()}

    assert {route.command for route in ACTION_ROUTES} == commands
    assert {action.model for action in ACTIONS.values()} == commands
