"""Hears FEATURES and the regions of CATALOG; says rule documents, into RULES.

`fanout` decides which regions change, and writes them with compare-and-set. Every replica follows
everything and any of them may come first: when one dies, no message waits for its return.
"""
