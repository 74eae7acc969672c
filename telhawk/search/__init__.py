"""The search service: takes jobs from the broker, asks the event store, answers with results."""
