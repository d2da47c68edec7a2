"""Between a site's two rooms: the node has the network, the worker has the data."""
