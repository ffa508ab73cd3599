"""Which actions a trigger keeps, and that this costs little at each step."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.contracts.commands import PauseTrigger, UnpauseTrigger
from sluiceway.contracts.feature import ACTIONS_MAX, Action, ActionType, EncodedActions
from sluiceway.pipelines import action_history
from sluiceway.pipelines.action_history import bounded_actions
from sluiceway.pipelines.message_limits import ACTIONS_BYTES_MAX
from tests.support.builders import a_release, happened

TEXT = st.text(st.characters(codec="utf-8"), max_size=2_000)
ACTIONS = st.lists(
    st.builds(
        Action,
        type=st.sampled_from(ActionType),
        time_ms=st.integers(0, 2**63 - 1),
        phase_id=st.none() | st.text(max_size=100),
        actor_id=st.text(max_size=200),
        reason=st.none() | TEXT,
        overrode=st.lists(st.text(max_size=100), max_size=5).map(tuple),
    ),
    max_size=ACTIONS_MAX + 20,
).map(tuple)


def by_encoding_each(actions: tuple[Action, ...], bytes_max: int = ACTIONS_BYTES_MAX) -> tuple[Action, ...]:
    """Return the same from the bytes of each action, as the last version did."""
    kept = set({action.type: index for index, action in enumerate(actions)}.values())
    left = bytes_max
    for index in range(len(actions) - 1, max(-1, len(actions) - 1 - ACTIONS_MAX), -1):
        left -= len(actions[index].model_dump_json(exclude_defaults=True).encode())
        if left < 0:
            break
        kept.add(index)
    return tuple(actions[index] for index in sorted(kept))


@given(actions=ACTIONS)
def test_the_same_actions_are_kept_as_if_each_was_encoded(actions: tuple[Action, ...]) -> None:
    assert bounded_actions(actions) == by_encoding_each(actions)


@given(actions=ACTIONS, bytes_max=st.integers(0, 3_000))
def test_so_are_they_where_few_have_room(actions: tuple[Action, ...], bytes_max: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(action_history, "ACTIONS_BYTES_MAX", bytes_max)

        assert bounded_actions(actions) == by_encoding_each(actions, bytes_max)


def test_an_action_is_encoded_once_however_many_events_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    release, encoded, encode = a_release(), list[Action](), Action.to_stored_json

    def count(action: Action) -> bytes:
        encoded.append(action)
        return encode(action)

    monkeypatch.setattr(Action, "to_stored_json", count)

    for _ in range(ACTIONS_MAX):
        for command in (PauseTrigger, UnpauseTrigger):
            happened(release.act(command)).to_json()

    assert len(release.trigger.actions) == ACTIONS_MAX + 1  # the start, and the newest ones
    assert len(encoded) == 2 * ACTIONS_MAX + 1


def test_a_step_looks_at_none_of_the_earlier_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    release = a_release()
    for _ in range(ACTIONS_MAX):
        happened(release.act(PauseTrigger))
        happened(release.act(UnpauseTrigger))
    unseen, looked_at = {id(action) for action in release.trigger.actions}, list[str]()

    def look(action: Action, name: str) -> object:
        if id(action) in unseen:
            looked_at.append(name)
        return object.__getattribute__(action, name)

    monkeypatch.setattr(Action, "__getattribute__", look, raising=False)
    happened(release.act(PauseTrigger)).to_json()

    assert looked_at == []


@given(actions=ACTIONS, more=ACTIONS)
def test_each_action_has_the_json_of_its_own(actions: tuple[Action, ...], more: tuple[Action, ...]) -> None:
    kept = EncodedActions.of(actions)
    for action in more:
        kept = bounded_actions(kept.followed_by(action))

    assert EncodedActions.of(kept) is kept
    assert kept.encoded == tuple(action.to_stored_json() for action in kept)
    assert kept.types == tuple(action.type for action in kept)


def test_a_trigger_has_the_same_json_with_encoded_actions() -> None:
    release = a_release()
    happened(release.act(PauseTrigger))
    plain = release.trigger.model_copy(update={"actions": tuple(release.trigger.actions)})

    assert type(plain.actions) is tuple
    assert release.trigger == plain
    assert release.trigger.to_stored_json() == plain.to_stored_json()
    assert release.trigger.to_json() == plain.to_json()
    assert copy.deepcopy(release.trigger).to_stored_json() == plain.to_stored_json()


def test_a_changed_action_is_encoded_as_it_is() -> None:
    action = Action(type=ActionType.SKIPPED, time_ms=1, phase_id="dev", actor_id="ada")
    assert action.to_stored_json() == b'{"type":"SKIPPED","timeMs":1,"phaseID":"dev","actorID":"ada"}'

    changed = action.model_copy(update={"overrode": ("holidays",)})

    assert b'"overrode":["holidays"]' in changed.to_stored_json()
    assert action == Action(type=ActionType.SKIPPED, time_ms=1, phase_id="dev", actor_id="ada")
    assert action.to_jsonable().keys() == Action.model_fields.keys() - {"phase_id", "time_ms", "actor_id"} | {
        "phaseID",
        "timeMs",
        "actorID",
    }
