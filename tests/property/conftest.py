"""How hard Hypothesis tries: `--hypothesis-profile=thorough` for longer."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "usual",
    deadline=None,
    derandomize=False,
    max_examples=400,
    stateful_step_count=40,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "thorough", settings.get_profile("usual"), max_examples=2_000, stateful_step_count=80
)
settings.load_profile("usual")
