"""`python -m services.evaluator_publisher`; settings from the environment."""

from sluiceway.service import run
from sluiceway.settings import ServiceSettings

from .app import EvaluatorPublisher

if __name__ == "__main__":
    run(EvaluatorPublisher, ServiceSettings)
