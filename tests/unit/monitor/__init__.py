"""What the monitor decides without a broker."""
