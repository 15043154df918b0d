"""Companion module of the book *From latent space to training data*.

One idea a file: `data`, `model`, `losses`, `train`, `metrics`, `sweep`, `figures`;
`notebook` shows their source, pictures and tables in the chapters.
"""

__version__ = "0.1.0"
