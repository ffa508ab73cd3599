"""`python -m tests.conformance`: ask our evaluator and the real SDK the same random questions."""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.conformance.comparison import AnswerCoverage, Disagreement, compare
from tests.conformance.shrink import shrink

#: Disagreements that are reduced and printed in full; the others are only counted.
SHOWN_MAX = 10
STACK_BYTES = 512 * 1024 * 1024


def main() -> int:
    """Return 1 if the two disagree on anything."""
    arguments = _arguments()
    print(f"seed {arguments.seed}", flush=True)
    coverage, started = AnswerCoverage(), time.monotonic()
    found = 0
    for each in run(arguments.seed, arguments.evaluations, coverage, dialect=not arguments.ordinary_regexes):
        found += len(each)
        by_name = {(one.question.kind, one.question.name): one for one in each}
        for one in list(by_name.values())[: arguments.shown]:
            arguments.shown -= 1
            show(shrink(one))
        if coverage.rule_sets % 100 == 0:
            rate = coverage.evaluations / (time.monotonic() - started)
            print(f"… {coverage.evaluations:,} evaluations, {rate:,.0f}/s, {found} disagreements", flush=True)
    print("\n".join(["", *coverage.table()]))
    print(
        f"seed {arguments.seed}: {coverage.evaluations:,} evaluations of {coverage.rule_sets:,} rule sets"
        f" in {time.monotonic() - started:.1f} s, {found} disagreements"
    )
    return 1 if found else 0


def run(
    seed: int, evaluations: int, coverage: AnswerCoverage, *, dialect: bool = True
) -> Iterator[list[Disagreement]]:
    """Yield the disagreements about each rule set until `coverage` counts `evaluations`."""
    while coverage.evaluations < evaluations:
        yield compare(random.Random(f"{seed}:{coverage.rule_sets}"), coverage, dialect=dialect)


def show(found: Disagreement) -> None:
    """Print a disagreement, with the path of a file that has its rule set and user."""
    question = found.question
    with tempfile.NamedTemporaryFile(
        "w", prefix="disagreement-", suffix=".json", delete=False, encoding="utf-8"
    ) as file:
        json.dump(found._asdict() | {"question": question._asdict()}, file, ensure_ascii=False, indent=1)
    print(f"\n{question.kind} {question.name!r}, {file.name}")
    print(f"  official {found.official!r}\n  ours     {found.ours!r}")
    print(f"  user     {_brief(question.user)}\n  options  {_brief(question.options)}")
    print(f"  where    {_brief(question.payload['condition_map'])}", flush=True)


def _brief(value: object, length_max: int = 1000) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= length_max else text[:length_max] + "…"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--shown", type=int, default=SHOWN_MAX, help="disagreements to reduce and print")
    parser.add_argument(
        "--ordinary-regexes",
        action="store_true",
        help="use no patterns that Python's re interprets differently",
    )
    return parser.parse_args()


if __name__ == "__main__":
    # The official SDK recurses as deep as rules are nested, on the stack of the calling thread.
    threading.stack_size(STACK_BYTES)
    with ThreadPoolExecutor(max_workers=1) as pool:
        sys.exit(pool.submit(main).result())
