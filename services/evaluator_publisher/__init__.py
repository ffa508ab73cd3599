"""Follows FEATURES and the regions in CATALOG; publishes the rule documents of each region to RULES.

- `fan_out`: which regions change; writes them with compare-and-set
- `publishable_rules`: what each region receives, and what instead of rules that cannot be published
- `checkpoints`, `code_digest`: what was published before this start, and needs no look
- `other_references`: beside which other rules they have to be safe

Every replica follows everything and writes what is missing: if one dies, no message waits for it.
"""
