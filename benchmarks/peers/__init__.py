"""The same training step in each framework. A peer is `make(row) -> run`; `run(n)` does n steps."""
