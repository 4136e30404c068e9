"""The same training step in each framework. A peer is `make(row) -> run`, and `run(steps)` trains."""
