"""Placeholder: written by a helper."""


def to_krivanek(values):
    return values
