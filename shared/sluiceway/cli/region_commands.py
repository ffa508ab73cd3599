"""`sluiceway region provision`: what a region behind a leaf node needs there, once and now.

A scheduler with SLUICEWAY_REGION_ACCOUNTS=true does the same every few seconds. This says what it did, and
what is in the way.
"""

import asyncio
from typing import Annotated, NoReturn

import typer
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import NotFoundError

from ..errors import error_text
from ..messaging.region_leaves import CopyStatus, RegionLeaf
from .catalogue_commands import Name
from .current_state import read_catalogue
from .session import CliSession, CommandFailed, FailedAfterOutput, validated_name

#: So long a copy that was just created may need to have everything, before this says that it goes on.
COPIED_SECONDS = 20.0
LOOK_EVERY_SECONDS = 0.2

CheckOption = Annotated[bool, typer.Option("--check", help="Say what is wrong, and change nothing.")]
RemoveOption = Annotated[
    bool, typer.Option("--remove", help="Delete the copies on the leaf node of a region that was deleted.")
]


async def provision_region(
    session: CliSession, name: Name, check: CheckOption = False, remove: RemoveOption = False
) -> None:
    """Create the copies of rules and keys on the leaf node of a region, or replace what is wrong there.

    Run it with the scheduler's credentials. A region that is in order is left alone.
    """
    region = validated_name("region", name)
    is_known = region in (await read_catalogue(session.connection)).regions
    leaf = RegionLeaf(session.connection.client, region)
    if remove:
        await _remove(session, leaf, is_known=is_known)
        return
    if not is_known:
        raise CommandFailed(f"unknown region {region!r}: save it first, for example with sluiceway apply")
    await _check_account(leaf)
    try:
        await _provision(session, leaf, only_check=check)
    except (NatsError, TimeoutError) as error:
        _fail(leaf, error)


async def _provision(session: CliSession, leaf: RegionLeaf, *, only_check: bool) -> None:
    before = await leaf.look()
    wrong = [status.problem for status in before if status.problem]
    if not wrong and (other_keys := (await leaf.compare_keys()).problem):
        wrong = [other_keys]
    if not only_check:
        for problem in wrong:
            await leaf.repair(problem)
    after = before if only_check else await _copied(leaf)
    why = {problem.copy: problem.why for problem in wrong}
    done = "wrong" if only_check else "copied again"
    session.print_result(
        {
            "region": leaf.region,
            "copies": [
                {
                    "stream": status.copy,
                    "problem": why.get(status.copy),
                    "messages": status.messages,
                    "messagesAtHub": status.messages_at_hub,
                }
                for status in after
            ],
        },
        "\n".join(
            f"{status.copy}: {f'{done}, since {why[status.copy]}' if status.copy in why else 'in order'}; "
            f"{status.messages} of {status.messages_at_hub} messages"
            for status in after
        ),
    )
    if only_check and wrong:
        raise FailedAfterOutput(f"the leaf node of {leaf.region} is not in order")
    if only_check:
        return
    if lacking := [status.copy for status in after if status.problem or status.is_behind]:
        raise FailedAfterOutput(
            f"the leaf node of {leaf.region} has not everything yet ({', '.join(lacking)}): "
            f"see later with sluiceway region provision {leaf.region} --check"
        )


async def _copied(leaf: RegionLeaf) -> list[CopyStatus]:
    """Return how the copies are, once they have everything, or after a bound."""
    loop = asyncio.get_running_loop()
    end = loop.time() + COPIED_SECONDS
    while True:
        found = await leaf.look()
        if loop.time() > end or not any(status.problem or status.is_behind for status in found):
            return found
        await asyncio.sleep(LOOK_EVERY_SECONDS)


async def _check_account(leaf: RegionLeaf) -> None:
    """Raise `CommandFailed` if the region has no account at the broker, or nothing is copied there."""
    try:
        await leaf.hub_copies()
    except NoRespondersError:
        raise CommandFailed(
            f"the region {leaf.region} has no account at the broker: write the broker's configuration again "
            "with sluiceway broker-config, and let the broker read it"
        ) from None
    except NotFoundError:
        raise CommandFailed(
            f"nothing is copied into the account of {leaf.region}: is a scheduler running with "
            "SLUICEWAY_REGION_ACCOUNTS=true?"
        ) from None
    except (NatsError, TimeoutError) as error:
        raise CommandFailed(f"cannot look into the account of {leaf.region}: {error_text(error)}") from error


async def _remove(session: CliSession, leaf: RegionLeaf, *, is_known: bool) -> None:
    if is_known:
        raise CommandFailed(
            f"the region {leaf.region} exists, so a scheduler would copy its rules again: delete it first "
            f"(sluiceway region delete {leaf.region})"
        )
    try:
        removed = await leaf.remove()
    except (NatsError, TimeoutError) as error:
        _fail(leaf, error)
    text = f"deleted {' and '.join(removed)}" if removed else "nothing to delete"
    session.print_result({"region": leaf.region, "deleted": removed}, text)


def _fail(leaf: RegionLeaf, error: Exception) -> NoReturn:
    """Raise `CommandFailed` with the reason why the leaf node gave no answer, and what to do."""
    if isinstance(error, NoRespondersError):
        raise CommandFailed(
            f"no leaf node of {leaf.region} answers: does nats-server run there with what sluiceway "
            f"broker-config --leaf {leaf.region} writes, does its log say that the leafnode connection was "
            "created, and does the broker here have the configuration of sluiceway broker-config?"
        ) from None
    raise CommandFailed(f"the leaf node of {leaf.region} gives no answer: {error_text(error)}") from error
