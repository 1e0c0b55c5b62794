"""How what the proof found reaches people and machines: one document, and every format made of it."""
