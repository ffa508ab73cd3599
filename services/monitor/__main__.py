"""`python -m services.monitor`; settings from the environment, see `settings`."""

from sluiceway.service import run

from .app import Monitor
from .settings import Settings

if __name__ == "__main__":
    run(Monitor, Settings)
