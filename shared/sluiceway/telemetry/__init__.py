"""What a process tells about itself: `metrics` and their `exposition` to Prometheus, and `logging`."""
