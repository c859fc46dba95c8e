//! Runs `deploy-promote`.

fn main() {}
