"""What other programs load by their own plug-in mechanisms: thin shells over :mod:`daskflow`."""
