"""Follows FEATURES and the regions in CATALOG; publishes the rule documents of each region to RULES.

`fan_out` decides which regions change, and writes them with compare-and-set. Every replica follows
everything and writes what is missing: if one dies, no message waits for it.
"""
