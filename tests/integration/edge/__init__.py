"""The edge over HTTP, on a real broker."""
