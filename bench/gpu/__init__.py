"""The GPU suite: PyTorch's ways of running a network on an NVIDIA GPU, and other engines', measured side by side.

It runs where this project is not installed, from a checkout or from one file (``pack``), where this package is called
``bench.gpu``. Its modules therefore import each other relatively.
"""
