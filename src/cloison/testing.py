"""The pytest plugin: inert unless `--network` is given."""
