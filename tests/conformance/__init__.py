"""What the official SDK does with rule sets, shown by running it."""
