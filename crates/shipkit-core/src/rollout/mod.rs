//! A rollout as a state machine: (observation, elapsed) -> next step.
