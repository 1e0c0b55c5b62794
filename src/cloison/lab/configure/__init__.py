"""Configuration of the daemons inside the nodes, as pure functions of addresses, names and PEM texts."""
