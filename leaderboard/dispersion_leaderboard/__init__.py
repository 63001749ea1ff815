"""Reads lm_eval's results files, fits, and renders. Imports no torch and nothing of the plugin."""
