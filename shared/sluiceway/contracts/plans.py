"""The plan of a release, which all releases through the same pipeline have in common."""

from typing import Annotated, Any, NamedTuple

from pydantic import ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator

from .pipeline import Phase, Pipeline


class Plan(NamedTuple):
    """A pipeline, and the phases of its runs; parsed with it as context, a trigger may refer to both."""

    pipeline: Pipeline
    phases: tuple[Phase, ...]


def _pipeline(value: Any, parse: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """Return the plan's pipeline in place of any number."""
    plan = _plan_for(value, info)
    return plan.pipeline if plan else parse(value)


def _phase(value: Any, parse: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """Return the plan's phase in place of its number."""
    plan = _plan_for(value, info)
    return plan.phases[value] if plan else parse(value)


def _plan_for(value: Any, info: ValidationInfo) -> Plan | None:
    return info.context if isinstance(info.context, Plan) and isinstance(value, int) else None


#: The pipeline of a trigger.
PlannedPipeline = Annotated[Pipeline, WrapValidator(_pipeline)]
#: The phase of a run.
PlannedPhase = Annotated[Phase, WrapValidator(_phase)]
