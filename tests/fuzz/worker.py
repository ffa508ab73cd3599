"""The process that fuzzes one target with atheris, which it ends after some seconds."""

import sys
from pathlib import Path

import atheris

# What is imported here is instrumented: atheris sees which input takes a new path through it.
with atheris.instrument_imports(include=["sluiceway", "services"]):
    from .targets import TARGETS

#: An input may take so long, and the process so much memory.
INPUT_SECONDS_MAX = 10
MEMORY_MIB_MAX = 2_048
INPUT_BYTES_MAX = 8_192


def main(name: str, seconds: int, folder: Path) -> None:
    """Fuzz a target; its state and its corpus are kept in the folder."""
    (target,) = (target for target in TARGETS if target.name == name)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)
    options = {
        "max_total_time": seconds,
        "max_len": INPUT_BYTES_MAX,
        "timeout": INPUT_SECONDS_MAX,
        "rss_limit_mb": MEMORY_MIB_MAX,
        "verbosity": 0,
        "print_final_stats": 1,
    }
    with target.build(folder / "state") as run:
        atheris.Setup([name, *(f"-{key}={value}" for key, value in options.items()), str(corpus)], run)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
