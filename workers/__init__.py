"""Process mains: loops around bounded steps of emu. The launcher starts them by name."""
