"""What a site computes at each stage: one file a stage, each with `answer(question, context)`."""
