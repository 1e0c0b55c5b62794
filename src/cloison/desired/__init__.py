"""From the intent to what each device shall be, in no vendor's words. Pure."""
