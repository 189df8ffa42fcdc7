"""The clients, and the doors of whole applications."""
