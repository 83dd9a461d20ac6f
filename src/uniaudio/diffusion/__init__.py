"""Latent diffusion: conditions -> language of audio -> latent; thin over diffusers and transformers."""
