"""Everything that a cluster of three brokers does differently from one broker."""
