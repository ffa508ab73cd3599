"""YAML that several tests apply. Its phases bake for an hour: nothing moves unless a test moves it."""

CATALOGUE = """\
kind: Environment
name: development
---
kind: Environment
name: production
---
kind: Region
name: dev
environment: development
---
kind: Region
name: eu
environment: production
---
kind: ReleasePipeline
name: slow
triggerNotice: Is somebody watching?
phases:
  - {name: dev, timeInterval: 1h, rules: [{name: dev, environments: [development]}]}
  - {name: prod, timeInterval: 1h, requiredReview: true, rules: [{name: prod, environments: [production]}]}
"""

#: Starts `gate.checkout.1` in the phase `dev`.
RELEASE = """\
kind: FeatureGate
name: checkout
releasePipelineID: slow
rules: [{name: everyone}]
"""
