"""One module for each command; each holds one click command named `command`."""
