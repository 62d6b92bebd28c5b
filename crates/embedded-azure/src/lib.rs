//! Azure over HTTP, for development, the demo and tests.
