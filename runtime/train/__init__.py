"""Training: the settings of a `train` declaration, the loop, its checkpoints and its way out."""
