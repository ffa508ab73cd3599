"""What guardrails say now, as a table."""

from collections.abc import Iterable, Iterator

from rich.table import Table

from ..contracts.envelope import rfc3339
from ..contracts.measurements import EVERYWHERE, Round


def newest(rounds: Iterable[Round]) -> list[Round]:
    """Return the newest look at each guardrail, of rounds that stand oldest first."""
    return list({(one.trigger, one.phase_id, one.guardrail): one for one in rounds}.values())


def guardrail_table(rounds: Iterable[Round]) -> Table:
    """Return what each guardrail says of each region: the value, the verdict, and why."""
    table = Table(box=None, pad_edge=False, title="Guardrails", title_justify="left")
    for column in ("phase", "guardrail", "region", "value", "says", "failures", "measured", "why"):
        table.add_column(column, overflow="fold")
    for round_ in newest(rounds):
        for row in _rows(round_):
            table.add_row(*row)
    return table


def _rows(round_: Round) -> Iterator[tuple[str, ...]]:
    for one in round_.measurements:
        says = str(round_.verdict) if one.region == round_.region else str(one.judgement)
        yield (
            round_.phase_id,
            round_.guardrail,
            "" if one.region == EVERYWHERE else one.region,
            "" if one.value is None else f"{one.value:g}",
            says,
            str(round_.tallies[one.region].failures),
            rfc3339(round_.time_ms)[11:19],
            one.why,
        )
