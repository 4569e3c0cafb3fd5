"""Pages that need nothing but themselves: the chat, and the course of one denoising."""
