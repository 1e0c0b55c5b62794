"""One module a platform, over sections that are read back from the daemons that run them; reader and writer apart."""
