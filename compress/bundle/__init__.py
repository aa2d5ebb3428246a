"""From a run to the signed file that travels to a device.

1. ``choose``: which of the run's models.
2. ``golden``: inputs with the answers of that very file, and how far a device's answers may be from them.
3. ``provenance`` and ``sbom``: where it comes from, what was measured, and what it is made of.
4. ``build``: all of it as one file, signed with a key of ``keys``.

The format, and everything that reads it, is ``edge_runtime.bundle``: what is written here is what a device reads.
"""

from compress.bundle.build import Bundled, bundle

__all__ = ["Bundled", "bundle"]
