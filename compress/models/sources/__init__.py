"""Where a teacher comes from: one module each. :func:`compress.models.load_teacher` chooses."""
