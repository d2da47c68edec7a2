"""What the server makes of the answers: one file a stage, each with `run(federation, state)`."""
