"""Contrastive losses, as functions of embeddings and numbers."""
