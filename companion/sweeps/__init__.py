"""Sweeps: where runs are trained, how finished ones are kept, and what stored ones are read as."""
