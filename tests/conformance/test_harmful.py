"""Proofs, by the official SDK itself, that each rule set in `harmful.py` does the harm it is named for."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.harmful import HARMFUL, Damage, Harm
from tests.conformance.official_child import LOADED

pytest.importorskip("statsig_python_core")

CHILD = Path(__file__).with_name("official_child.py")
#: A child answers in a tenth of a second. One that runs away takes 200 MiB a second, so it is killed by now.
PATIENCE_SECONDS = 2.0
#: For children that should answer: a slow machine is no harm.
LONG_PATIENCE_SECONDS = 20.0
#: Four more levels of a ladder cost 16 times the time; noise does not reach a quarter of it.
EXPLOSION = 4.0


@dataclass(frozen=True)
class Asked:
    """What one gate answered over all calls."""

    gate: str
    trues: int
    falses: int
    reasons: list[str]
    #: None if the call raised.
    quickest_seconds: float | None
    raised: str | None


@dataclass(frozen=True)
class Observation:
    """How the child ended."""

    #: Whether it followed the rule set, before the questions that harm.
    loaded: bool
    #: Negative: ended by that signal. None: killed when patience ended.
    exit_code: int | None
    #: One for each gate asked; empty unless the child lived to tell.
    asked: list[Asked]

    def tells(self, *reasons: str) -> bool:
        """Say whether the last gate gave an answer with one of `reasons`, and no other."""
        return bool(self.asked) and set(self.asked[-1].reasons) == set(reasons)


def observe(harm: Harm) -> Observation:
    """Let the SDK follow the rule set in a process of its own and see what becomes of it."""
    task = {"payload": harm.payload, "user": harm.user, "gates": harm.gates, "calls": harm.calls}
    patience = PATIENCE_SECONDS if harm.damage is Damage.NEVER_RETURNS else LONG_PATIENCE_SECONDS
    try:
        child = subprocess.run(
            [sys.executable, str(CHILD)],
            input=json.dumps(task).encode(),
            capture_output=True,
            timeout=patience,
        )
    except subprocess.TimeoutExpired as expired:
        return Observation(loaded=LOADED.encode() in (expired.stdout or b""), exit_code=None, asked=[])
    loaded, _, answers = child.stdout.decode().partition("\n")
    asked = [Asked(**fields) for fields in json.loads(answers or "[]")]
    return Observation(loaded == LOADED, child.returncode, asked)


def dies(seen: Observation) -> bool:
    """Say whether a signal for a spoilt stack ended the process."""
    return seen.exit_code in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)


def never_returns(seen: Observation) -> bool:
    """Say whether the parent had to end the process."""
    return seen.exit_code is None


def panics(seen: Observation) -> bool:
    """Say whether the call raised what `except Exception` lets through."""
    return bool(seen.asked) and seen.asked[-1].raised == "PanicException"


def error_for_everyone(seen: Observation) -> bool:
    """Say whether the answer was false, and only because of an error."""
    return seen.tells("Error:Statsig Evaluation Depth Exceeded") and seen.asked[-1].trues == 0


def true_though_unsupported(seen: Observation) -> bool:
    """Say whether the answer was true though the SDK says it could not evaluate the rule."""
    return seen.tells("Network:Unsupported") and seen.asked[-1].falses == 0


def true_by_typo(seen: Observation) -> bool:
    """Say whether the answer was true and looked sound."""
    return seen.tells("Network:Recognized") and seen.asked[-1].falses == 0


def answers_vary(seen: Observation) -> bool:
    """Say whether one question got both answers, each looking sound."""
    return seen.tells("Network:Recognized") and min(seen.asked[-1].trues, seen.asked[-1].falses) > 0


def time_explodes(seen: Observation) -> bool:
    """Say whether the second gate took `EXPLOSION` times as long as the first, or more."""
    times = [asked.quickest_seconds for asked in seen.asked if asked.quickest_seconds is not None]
    return len(times) == 2 and times[1] > EXPLOSION * times[0]


def gives_up(seen: Observation) -> bool:
    """Say whether the second gate took far longer than the first, and then answered false instead of true."""
    return time_explodes(seen) and seen.asked[0].falses == 0 and seen.asked[1].trues == 0


SHOWS: dict[Damage, Callable[[Observation], bool]] = {
    Damage.DIES: dies,
    Damage.NEVER_RETURNS: never_returns,
    Damage.PANICS: panics,
    Damage.ERROR_FOR_EVERYONE: error_for_everyone,
    Damage.TRUE_THOUGH_UNSUPPORTED: true_though_unsupported,
    Damage.TRUE_BY_TYPO: true_by_typo,
    Damage.ANSWERS_VARY: answers_vary,
    Damage.TIME_EXPLODES: time_explodes,
    Damage.GIVES_UP: gives_up,
}


@pytest.mark.parametrize("harm", HARMFUL, ids=lambda harm: harm.name)
def test_the_real_sdk_is_harmed(harm: Harm) -> None:
    seen = observe(harm)

    assert seen.loaded, f"the SDK did not even follow the rule set: {seen}"
    assert SHOWS[harm.damage](seen), f"{harm.damage} was expected, but {seen}"
