"""A change: planned against what the devices run, saved, shown, applied once, and read back."""
