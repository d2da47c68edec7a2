"""Images in, numbers out: reading, preprocessing, radiomics and the cache. Knows no cohort."""
