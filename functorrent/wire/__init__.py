"""Bytes to values and back, without Twisted: one module for each BEP section."""
