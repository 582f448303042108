"""The online service. Empty so far: it comes with the serving bundle; nothing in it may import dagster."""
