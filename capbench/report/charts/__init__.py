"""Drawings of the HTML page: SVG that takes its colours from the page, so that it is dark where the page is. No matplotlib."""
