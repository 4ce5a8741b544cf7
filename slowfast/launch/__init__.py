"""Processes: starting them, joining them to a group, ending them together."""
