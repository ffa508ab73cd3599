"""How hard Hypothesis tries here, whatever was collected before."""

from hypothesis import settings

settings.load_profile("untimed")
