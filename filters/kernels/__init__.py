"""Compiled passes over UTF-8 bytes; importing any module but `characters` imports numba."""
