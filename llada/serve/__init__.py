"""An OpenAI-compatible HTTP endpoint for a diffusion language model, and a page to watch it think."""
