"""The node: a site's side of the network. It holds the key and no data."""
