//! What to build, how to name it and where it may go: pure decisions from event, git facts and configuration.
