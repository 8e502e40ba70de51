"""Sockets, clock and entropy: the thin trio adapter around the pure core."""
