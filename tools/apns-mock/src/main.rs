//! An APNs server for tests.
fn main() {}
