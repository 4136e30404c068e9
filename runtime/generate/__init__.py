"""Generating: the compiled step of a net run again and again on what was chosen before."""
