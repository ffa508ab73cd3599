"""docker-compose.yml as people start it: from the files of a fresh clone, in containers.

An engine that answers is used with the images that it has. Without one, root gets an engine of its own.
Images that are not there are replaced by stand-ins, so that nothing has to be pulled: the programs are those
of this host.
"""
