"""Faults are a feature: each breaks the twin in one way, and says as data which checks must then turn red."""
