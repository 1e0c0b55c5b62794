"""Cloison: put a declared network on real devices, and show that it isolates what it must."""

__version__ = "0.1.0"
