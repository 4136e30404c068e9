"""The pages behind the error codes: what `chainrule explain` prints. One file a code."""
