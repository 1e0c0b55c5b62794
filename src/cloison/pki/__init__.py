"""A small certificate authority: one root, one sub-authority a purpose, requests, and revocation lists as files."""
