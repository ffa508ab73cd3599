"""Libraries that check features in this process, each behind the same small class.

- `peer`: what the benchmark asks of a library
- `people`: who is checked, and the four features that everybody is checked against
- `specs`: those features in config-spec shapes, which two of the libraries read
- the others: one library each; importing one raises `ImportError` where the library is not installed
"""
