"""`make chaos`: a cluster of three brokers, with the services, under load and under faults.

`hosts` are network namespaces, `cluster` starts brokers and services on them, `load` lets `people` release
gates, `faults` lets one of the `fault_kinds` happen after the other, and `samples` asks every process what it
serves. All of that becomes a `history`, which `checker` compares with the laws (`answer_laws`, `log_laws`,
`region_laws`, `process_laws`); `evidence` counts what they had to look at, and `report` prints.
"""
