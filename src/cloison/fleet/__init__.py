"""Many devices at once: Nornir's inventory out of the intent, thin tasks that call `change`, and what they leave."""
