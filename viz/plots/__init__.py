"""Plots of what a net has learned, one kind a module: arrays in, files out."""
