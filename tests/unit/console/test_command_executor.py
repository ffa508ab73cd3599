"""What the console says of a command, whatever its views know already."""

from typing import Any, cast

from services.console.command_executor import CommandExecutor
from sluiceway.contracts.commands import SaveFeature
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.replies import RefusalCode
from sluiceway.errors import Unavailable
from sluiceway.messaging.feature_entry import FeatureEntry
from sluiceway.messaging.feature_log import headers_of
from tests.support.builders import EVERYONE, Ledger, a_catalogue, a_gate


class LateView:
    """A view that knows the newest event only once it has caught up."""

    def __init__(self, ledger: Ledger) -> None:
        self._entries = [
            FeatureEntry(event.feature.key, sequence, headers_of(event, ""), data=event.to_json())
            for sequence, event in enumerate(ledger.events, start=1)
        ]
        self.known = self._entries[0]

    def get(self, key: FeatureKey) -> FeatureEntry:
        return self.known

    async def catch_up(self) -> None:
        self.known = self._entries[-1]


class LostLog:
    async def at(self, sequence: int) -> None:
        raise Unavailable(f"cannot read {sequence}")


async def test_what_others_have_saved_is_told_also_if_the_scheduler_knows_it_first() -> None:
    ledger = Ledger(a_catalogue())
    ledger.save(a_gate(EVERYONE))
    ledger.save(a_gate(EVERYONE, description="changed by another user"))
    view: Any = LateView(ledger)
    executor = CommandExecutor(cast(Any, None), cast(Any, None), cast(Any, LostLog()), view, cast(Any, None))
    command = SaveFeature(actor="ada", feature=a_gate(EVERYONE), expected_revision=view.known.revision_tag)

    refusal = await executor.stale_refusal(command)

    assert refusal
    assert refusal.code is RefusalCode.STALE
