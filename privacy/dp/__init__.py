"""Differential privacy: noise for sites and for records, and what it costs."""
