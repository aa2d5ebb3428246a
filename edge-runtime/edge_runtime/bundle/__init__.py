"""The signed file in which a model travels: what it holds (``manifest``), how it is laid out (``archive``), who may
make it (``signature``), and what it is once unpacked (``contents``)."""
