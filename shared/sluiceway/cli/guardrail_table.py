"""A table of the newest measurements of guardrails."""

from collections.abc import Iterable, Iterator

from rich.table import Table

from ..contracts.envelope import rfc3339
from ..contracts.measurements import EVERYWHERE, Round


def newest_rounds(rounds: Iterable[Round]) -> list[Round]:
    """Return the newest round of each guardrail; `rounds` are oldest first."""
    return list({(round_.trigger, round_.phase_id, round_.guardrail): round_ for round_ in rounds}.values())


def guardrail_table(rounds: Iterable[Round]) -> Table:
    """Return a row per guardrail and region: the value, the verdict, and the reason."""
    table = Table(box=None, pad_edge=False, title="Guardrails", title_justify="left")
    for column in ("phase", "guardrail", "region", "value", "result", "failures", "measured", "reason"):
        table.add_column(column, overflow="fold")
    for round_ in newest_rounds(rounds):
        for row in _rows(round_):
            table.add_row(*row)
    return table


def _rows(round_: Round) -> Iterator[tuple[str, ...]]:
    for measurement in round_.measurements:
        result = str(round_.verdict) if measurement.region == round_.region else str(measurement.judgement)
        yield (
            round_.phase_id,
            round_.guardrail,
            "" if measurement.region == EVERYWHERE else measurement.region,
            "" if measurement.value is None else f"{measurement.value:g}",
            result,
            str(round_.tallies[measurement.region].failures),
            rfc3339(round_.time_ms)[11:19],
            measurement.why,
        )
