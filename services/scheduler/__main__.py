"""`python -m services.scheduler`; settings from the environment, see `settings`."""

from sluiceway.service import run

from .app import Scheduler
from .settings import Settings

if __name__ == "__main__":
    run(Scheduler, Settings)
