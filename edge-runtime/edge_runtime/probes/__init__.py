"""Measuring a model where it will run. One quantity a module."""
