"""What Sluiceway is measured against: the same chain in plain nats-py, each part in a process of its own.

```
request → scheduler ─conditional append─▶ RAW_LOG → publisher ─a put per region─▶ RAW_RULES → regions
alert → RAW_ALERTS → monitor ─request─▶ scheduler
```

The same writes, consumers, payload sizes and durability (files, one replica) as ours; nothing is parsed,
checked or decided, and what was written first wins as with us. The scheduler reads nothing before it writes:
it remembers the last sequence of each subject, and the conditional append proves it; a conflict reads again.
Regions have literal filters, with which the broker is fastest. They do not report what they hold.
"""
