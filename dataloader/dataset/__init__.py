"""The loader of the Dataset controller (BaizeAI/dataset): its command line, on our lock, sync and verification."""
