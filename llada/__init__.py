"""Masked-diffusion language models (LLaDA, arXiv 2502.09992): model, losses, sampling."""
