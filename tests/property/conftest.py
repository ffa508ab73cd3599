"""How hard Hypothesis tries: `--hypothesis-profile=thorough` for longer."""

from hypothesis import settings

settings.register_profile(
    "usual", settings.get_profile("untimed"), max_examples=250, stateful_step_count=40, print_blob=True
)
settings.register_profile(
    "thorough", settings.get_profile("usual"), max_examples=2_000, stateful_step_count=80
)
settings.load_profile("usual")
