"""What a process shows of itself: metrics, logs, health, over one small HTTP server."""
