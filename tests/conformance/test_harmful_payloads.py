"""Each payload in `harmful_payloads.py` does its damage to the official SDK itself."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.harmful_payloads import HARMFUL, Damage, Harm
from tests.conformance.official_sdk_process import LOADED

pytest.importorskip("statsig_python_core")

CHILD = Path(__file__).with_name("official_sdk_process.py")
#: A process answers in a tenth of a second; one with a runaway recursion takes 200 MiB a second.
TIMEOUT_SECONDS = 2.0
#: For processes that should answer, also on a slow machine.
LONG_TIMEOUT_SECONDS = 20.0
#: Four more levels of a ladder take 16 times as long; noise is far below a quarter of that.
EXPLOSION = 4.0


@dataclass(frozen=True)
class GateAnswers:
    """Answers of one gate over all calls."""

    gate: str
    trues: int
    falses: int
    reasons: list[str]
    #: None if the call raised.
    quickest_seconds: float | None
    raised: str | None


@dataclass(frozen=True)
class Observation:
    """How the process ended."""

    #: Whether the SDK had the payload before the harmful checks.
    loaded: bool
    #: Negative: ended by that signal. None: killed at the timeout.
    exit_code: int | None
    #: One for each gate; empty unless the process survived the checks.
    gates: list[GateAnswers]

    def has_reasons(self, *reasons: str) -> bool:
        """Return whether these were the reasons of the last gate's answers."""
        return bool(self.gates) and set(self.gates[-1].reasons) == set(reasons)


def observe(harm: Harm) -> Observation:
    """Check the gates with the SDK in a process of its own, and return how that ended."""
    task = {"payload": harm.payload, "user": harm.user, "gates": harm.gates, "calls": harm.calls}
    timeout = TIMEOUT_SECONDS if harm.damage is Damage.NEVER_RETURNS else LONG_TIMEOUT_SECONDS
    try:
        child = subprocess.run(
            [sys.executable, str(CHILD)],
            input=json.dumps(task).encode(),
            capture_output=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as expired:
        return Observation(loaded=LOADED.encode() in (expired.stdout or b""), exit_code=None, gates=[])
    loaded, _, answers = child.stdout.decode().partition("\n")
    gates = [GateAnswers(**fields) for fields in json.loads(answers or "[]")]
    return Observation(loaded == LOADED, child.returncode, gates)


def dies(seen: Observation) -> bool:
    """Return whether a signal for an overflowed stack ended the process."""
    return seen.exit_code in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)


def never_returns(seen: Observation) -> bool:
    """Return whether the process was killed at the timeout."""
    return seen.exit_code is None


def panics(seen: Observation) -> bool:
    """Return whether the call raised what `except Exception` does not catch."""
    return bool(seen.gates) and seen.gates[-1].raised == "PanicException"


def error_for_everyone(seen: Observation) -> bool:
    """Return whether the answer was false, and only because of an error."""
    return seen.has_reasons("Error:Statsig Evaluation Depth Exceeded") and seen.gates[-1].trues == 0


def true_though_unsupported(seen: Observation) -> bool:
    """Return whether the answer was true although the SDK could not evaluate the rule."""
    return seen.has_reasons("Network:Unsupported") and seen.gates[-1].falses == 0


def true_by_typo(seen: Observation) -> bool:
    """Return whether the answer was true and looked valid."""
    return seen.has_reasons("Network:Recognized") and seen.gates[-1].falses == 0


def answers_vary(seen: Observation) -> bool:
    """Return whether one question got both answers, and each looked valid."""
    return seen.has_reasons("Network:Recognized") and min(seen.gates[-1].trues, seen.gates[-1].falses) > 0


def time_explodes(seen: Observation) -> bool:
    """Return whether the second gate took `EXPLOSION` times as long as the first, or more."""
    times = [gate.quickest_seconds for gate in seen.gates if gate.quickest_seconds is not None]
    return len(times) == 2 and times[1] > EXPLOSION * times[0]


def gives_up(seen: Observation) -> bool:
    """Return whether the second gate took far longer than the first, and answered false instead of true."""
    return time_explodes(seen) and seen.gates[0].falses == 0 and seen.gates[1].trues == 0


CHECKS: dict[Damage, Callable[[Observation], bool]] = {
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

    assert seen.loaded, f"the SDK refused the payload: {seen}"
    assert CHECKS[harm.damage](seen), f"expected {harm.damage}, but {seen}"
