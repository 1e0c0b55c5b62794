"""From a device's state to the text of its configuration. Pure, but for reading templates."""
