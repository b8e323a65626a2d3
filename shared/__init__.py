"""What the four services share: documents, catalogue, policy, Kafka, configuration, lifecycle."""
