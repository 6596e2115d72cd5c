"""Rows, their values and the requests that carry them: what is checked before anything is sent."""
