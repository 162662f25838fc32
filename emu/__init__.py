"""emu: a multi-process emulator of kvfree_rcu() page supply over one shared segment.

See emu/README.md for the map. Importing this package imports neither Numba nor any room.
"""

__version__ = "0.1.0"
