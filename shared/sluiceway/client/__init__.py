"""What an application uses: rules that follow the releases, evaluated in this process.

- `client`: the client, for threads, forks and event loops
- `flags`, `evaluation_context`: features and users as OpenFeature sees them
- `openfeature`: a provider for OpenFeature (`sluiceway[openfeature]`)
- `testing`: overrides for tests
- `region_rules`: the rules of one region; `rule_cache`: their copy on disk, for a start without a broker
- `transport`: how rules arrive; `nats_transport`, with `region_client`; `edge_transport`
"""

from ..evaluation.results import Config, Evaluation, Reason
from ..evaluation.users import User
from .client import Client

__all__ = ["Client", "Config", "Evaluation", "Reason", "User"]
