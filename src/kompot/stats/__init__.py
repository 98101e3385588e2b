"""Statistics on posteriors: distances, tail probabilities, null genes, false discovery rates."""
