"""`python -m services.scheduler`; settings from the environment, see `settings`."""

import sys

from sluiceway.service import run

from .app import Scheduler
from .settings import Settings
from .side_thread import SWITCH_SECONDS

if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_SECONDS)
    run(Scheduler, Settings)
