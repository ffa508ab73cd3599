"""Lines from a process of the benchmark to the one that started it."""


def say(*words: object) -> None:
    print(*words, flush=True)
