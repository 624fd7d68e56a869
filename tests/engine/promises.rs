//! One test for each thing that the engine promises.
