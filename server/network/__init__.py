"""The coordinator on the network: its folder, certificates, SuperLink, and runs over Flower."""
