"""The services with 1,000, 10,000 and 100,000 active triggers; `tests.benchmarks.scale` measures a part."""

import pytest

from .report import Section, record
from .scale import FEATURES, PARTS, measure, show

#: A publisher that starts writes the rules of 100,000 features.
pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3_600)]


async def test_scale() -> None:
    columns = await measure(FEATURES, tuple(PARTS))

    show(columns)
    for column in columns:
        for what, figure in column.figures.items():
            record(Section.SCALE, what, {f"{column.features:,}": figure})
