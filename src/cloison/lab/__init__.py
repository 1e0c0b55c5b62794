"""The twin of a network: namespaces and real daemons grown from the same intent, so that all runs with no hardware."""
