"""The command line as tests call it: each call a process, which costs milliseconds."""
