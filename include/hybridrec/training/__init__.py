"""Fit one model on one fold, keep the fit and load it."""
