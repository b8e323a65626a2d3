"""The image, and what runs in it beside the services."""
