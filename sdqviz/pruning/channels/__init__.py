"""Channels followed through a traced network, one kind of operation a file."""
