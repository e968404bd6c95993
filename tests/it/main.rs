//! The integration tests: one binary, one module per subject.

#[cfg(feature = "faults")]
mod faults;
mod layering;
