"""Figures, one module each: from a run directory to a Matplotlib figure. Nothing here simulates."""
