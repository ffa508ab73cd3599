"""`make chaos`: a cluster of three brokers, with the services, under load and under faults.

`hosts` are network namespaces, `cluster` starts brokers and services on them, `load` runs releases, `faults`
disturbs everything one after the other, `samples` asks every process what it serves. All of that ends up in a
`history`, which `checker` compares with the laws; `report` prints.
"""
