"""A net taken apart so that it can say one token after another, reading what it has said."""
