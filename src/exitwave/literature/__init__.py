"""Figures and captions of papers: what they show, of which substances, by which technique. Nothing is downloaded."""
