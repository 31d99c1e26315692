"""Feedback pathways, one file each: how the error reaches the hidden layers.

A pathway is a subclass of `_pathway.Pathway`, which says what one has to define.
"""
