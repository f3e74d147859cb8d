"""Offer the look-up under its published name; see hybridrec.serving.lookup."""

from hybridrec.serving.lookup import open_target, recommend

__all__ = ["open_target", "recommend"]
