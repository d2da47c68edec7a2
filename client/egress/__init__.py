"""The guard and the ledger: nothing leaves but what was agreed to, and the site can prove it."""
