"""What stands between a change that is applied and one that is decided: the proof, the sessions, the validators."""
