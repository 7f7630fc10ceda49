"""One's own images, CRF, the folded graph, export."""
