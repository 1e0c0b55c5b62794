"""From the text of a section, as a device shows it or as it was rendered, to a model of what it does."""
