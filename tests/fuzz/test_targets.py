"""Each target with its seeds, and with a few hundred inputs around them; `make fuzz` tries many more."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .targets import TARGETS, FuzzTarget

EXAMPLES = 150


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_input_does_harm(target: FuzzTarget, tmp_path: Path) -> None:
    with target.build(tmp_path) as run:
        for seed in target.seeds:
            run(seed)

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
        @given(altered(target.seeds))
        def run_altered(data: bytes) -> None:
            run(data)

        run_altered()


def altered(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Return seeds with a part of them replaced: by other bytes, a part of another seed, or an odd value."""
    odd = st.sampled_from(
        (
            b"1e999",
            b"-1",
            b"9" * 400,
            b"null",
            b"[" * 200,
            b'"\\ud800"',
            b"\xff",
            b'"' + b"a" * 5_000 + b'"',
        )
    )
    part = odd | st.binary(max_size=20) | st.sampled_from(seeds)
    return st.builds(
        lambda seed, start, length, new: seed[:start] + new + seed[start + length :],
        st.sampled_from(seeds),
        st.integers(0, max(map(len, seeds))),
        st.integers(0, 30),
        part,
    )
