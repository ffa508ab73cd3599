"""`python -m services.console`; settings from the environment, see `settings`."""

from sluiceway.service import run

from .app import Console
from .settings import Settings

if __name__ == "__main__":
    run(Console, Settings)
