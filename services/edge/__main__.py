"""`python -m services.edge`; settings from the environment, see `settings`."""

from sluiceway.service import run

from .app import Edge
from .settings import Settings

if __name__ == "__main__":
    run(Edge, Settings)
