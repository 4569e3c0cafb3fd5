"""An OpenAI-compatible HTTP endpoint for a diffusion model, and a page to watch it write."""
