"""AlertSource: what the alerts of one source may take back."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .identifiers import Name, RegionName, feature_key
from .models import AuthoredModel

SCOPE_MAX = 100


def _feature(text: str) -> str:
    try:
        return str(feature_key(text))
    except ValueError:
        raise ValueError(f"invalid feature {text!r}: use KIND.NAME, for example gate.new_checkout") from None


#: A feature as text, for example `gate.new_checkout`.
FeatureText = Annotated[str, Field(max_length=200), AfterValidator(_feature)]


class AlertSource(AuthoredModel):
    """The scope of the alerts on `sluiceway.alerts.<name>`. Each list that is absent leaves everything in.

    A release is in scope if its pipeline and its feature are. With `regions`, an alert must also name one of
    them in its label `region`.
    """

    kind: Literal["AlertSource"] = "AlertSource"
    #: The last token of the subject; `alertmanager` for the monitor's webhook.
    name: Name
    pipelines: Annotated[tuple[Name, ...], Field(min_length=1, max_length=SCOPE_MAX)] | None = None
    features: Annotated[tuple[FeatureText, ...], Field(min_length=1, max_length=SCOPE_MAX)] | None = None
    regions: Annotated[tuple[RegionName, ...], Field(min_length=1, max_length=SCOPE_MAX)] | None = None
