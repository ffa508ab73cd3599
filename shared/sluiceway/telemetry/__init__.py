"""What a process reports about itself: `metrics` and their `exposition` to Prometheus, and `logging`."""
