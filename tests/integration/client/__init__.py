"""The client of applications, on a real broker and a real edge."""
