"""Student against teacher."""
