//! Counts the instructions of what every request pays for.
fn main() {}
