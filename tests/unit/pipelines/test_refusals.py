"""Every refusal is worded in one module, and says what to do."""

import re
from pathlib import Path

from sluiceway.contracts.commands import ApprovePhase, PauseTrigger
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.replies import RefusalCode
from sluiceway.pipelines import refusals
from tests.support.builders import a_phase, a_trigger

ROOT = Path(__file__).parents[3]
KEY = FeatureKey(FeatureKind.GATE, "checkout")


def test_nothing_else_builds_a_refusal() -> None:
    home = Path(refusals.__file__).resolve()
    sources = [*(ROOT / "shared").rglob("*.py"), *(ROOT / "services").rglob("*.py")]

    elsewhere = [
        str(p)
        for p in sources
        if p.resolve() != home and re.search(r"(?<!case )(?<!class )\bRefusal\(\w", p.read_text())
    ]

    assert elsewhere == []


def test_an_unknown_document_is_refused_with_the_known_ones() -> None:
    refusal = refusals.unknown("pipeline", "nope", ["b", "a"], verb="save_pipeline")

    assert refusal.code is RefusalCode.UNKNOWN_PIPELINE
    assert refusal.message == "unknown pipeline 'nope' (known: a, b)"
    assert refusal.possible == ("save_pipeline",)


def test_where_nothing_is_known_the_refusal_says_so() -> None:
    refusal = refusals.unknown("api_key", "k1", [], where="key of ada")

    assert refusal.message == "key of ada: unknown api key 'k1' (known: none)"


def test_a_release_under_way_is_named_with_its_phase() -> None:
    refusal = refusals.trigger_active(KEY, a_trigger(a_phase("dev")))

    assert "gate.checkout is being released by gate.checkout.1 (IN_PROGRESS, phase dev)" in refusal.message
    assert refusal.possible == ("abort", "roll_out")


def test_a_stale_command_is_refused_with_what_is_current() -> None:
    trigger = a_trigger(a_phase("dev"), a_phase("prod"), phase=2)
    pause = PauseTrigger(actor="ada", trigger=trigger.id, phase_id="dev")

    refusal = refusals.stale_phase(pause, "dev", trigger, ("pause",))

    assert "pause was meant for phase 'dev', but gate.checkout.1 is at phase 'prod'" in refusal.message


def test_an_impossible_action_is_refused_with_the_possible_ones() -> None:
    trigger = a_trigger(a_phase("dev"))
    approve = ApprovePhase(actor="ada", trigger=trigger.id, phase_id="dev")

    refusal = refusals.not_possible(approve, trigger, ("pause", "skip"))

    assert refusal.message == (
        "approve is not possible: gate.checkout.1 is IN_PROGRESS at phase 'dev'; possible now: pause, skip"
    )
