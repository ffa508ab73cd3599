"""Follows FEATURES and the regions in CATALOG; publishes the rule documents of each region to RULES.

- `rules_publisher`: a fan-out for each stream of rules, however many there are
- `fan_out`: what is to be published or checked, and in which order
- `grouped_regions`: whose rules each stream holds
- `rule_writer`, `rule_deletions`: what is written and deleted in RULES, with compare-and-set
- `region_marks`: which regions have received everything
- `heartbeats`: tell the edges of each region that nothing is kept from them
- `proofs`: what of RULES is proved to be right
- `publishable_rules`, `event_documents`: what each region receives, and what instead of rules that cannot
  be published
- `checkpoints`, `code_digest`: what was published before this start, and needs no look
- `other_references`: beside which other rules they have to be safe

Every replica follows everything and writes what is missing: if one dies, no message waits for it.
"""
