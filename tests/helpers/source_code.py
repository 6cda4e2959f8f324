"""A function that makes a good seed, and the beginning of a licence."""

GOOD = '''import math


def area(radius):
    """Area of a circle."""
    if radius < 0:
        raise ValueError("negative")
    squared = radius * radius
    return math.pi * squared
'''
MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this software"
