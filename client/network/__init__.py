"""The site's side of the CNN: augmentation, local training, deep features and scores."""
