"""The one door to subprocesses and management sockets: a local process, a process inside a namespace, or SSH."""
