"""Tables of the console that must cover every status or action."""

from fastapi.routing import APIRoute

from services.console.official import trigger_routes
from services.console.official.official_triggers import ACTIVE_STATUSES, STATUSES
from services.console.pages.action_offers import PAGE_ACTIONS
from services.console.pages.progress import CSS_CLASSES, TEXTS
from sluiceway.cli import trigger_commands
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.pipelines.actions import MANUAL_ACTIONS


def test_every_status_has_an_official_one_a_text_and_a_css_class() -> None:
    assert set(STATUSES) == set(TEXTS) == set(CSS_CLASSES) == set(TriggerStatus)


def test_a_status_is_active_here_if_the_official_one_is() -> None:
    for status, official in STATUSES.items():
        assert status.is_active == (official in ACTIVE_STATUSES)


def test_every_manual_action_has_a_route_a_button_and_a_command() -> None:
    routes = {
        route.name
        for route in trigger_routes.router.routes
        if isinstance(route, APIRoute) and "PUT" in (route.methods or ())
    }
    buttons = {action.spec.name for action in PAGE_ACTIONS.values()}
    commands = {name.name for name in trigger_commands.app.registered_commands}

    assert routes == buttons == set(MANUAL_ACTIONS)
    assert {trigger_commands.NAMES.get(name, name) for name in MANUAL_ACTIONS} <= commands
