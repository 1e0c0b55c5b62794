"""The exhaustive judge: every packet that can pass, computed from what the devices run."""
