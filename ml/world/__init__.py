"""The simulated ad world: named advertisers, users with latent interests, and the logs they leave behind."""
