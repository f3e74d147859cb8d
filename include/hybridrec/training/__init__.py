"""Fit one model on one split, keep the fit and load it."""
