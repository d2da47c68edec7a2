"""The coordinator's stages of a study whose privacy covers everything that leaves a site."""
