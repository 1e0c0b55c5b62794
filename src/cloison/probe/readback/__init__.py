"""What a host says of itself, against what the intent wants of it: for each kind of fact, a reader and the differences.

Small and dumb on purpose: it shares nothing with what renders, loads or proves a configuration.
"""
