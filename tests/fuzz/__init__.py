"""What edges parse, with any bytes: each target is quick, and raises nothing.

`make fuzz` lets atheris look for new paths through the code; `test_targets.py` tries a few hundred inputs.
"""
