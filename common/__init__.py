"""The contract that both sides sign: the study, the messages, the statistics, the errors."""
