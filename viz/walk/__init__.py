"""The step-by-step page: a net's forward pass, backward pass and update as one offline HTML file.

`stops` says what there is to be told, `page` writes it down; both are pure. Numbers come from the
front door (`chainrule/walking.py`).
"""
