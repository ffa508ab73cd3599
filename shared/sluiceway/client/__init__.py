"""What an application uses: rules that follow the releases, evaluated in this process.

- `client`: the client, for threads, forks and event loops
- `testing`: features as a test wants them
- `openfeature`: a provider for OpenFeature (`sluiceway[openfeature]`)
- `region`: the rules of one region, and what keeps them new on an event loop
- `transports`, `over_nats`: the roads on which rules arrive
- `flags`, `contexts`: features and users as OpenFeature sees them
- `cache`: the last good rules, on disk
"""

from ..evaluation.results import Config, Evaluation, Reason
from ..evaluation.users import User
from .client import Client

__all__ = ["Client", "Config", "Evaluation", "Reason", "User"]
