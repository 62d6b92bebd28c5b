//! The run over a service, and what it is made of.

pub mod act;
pub mod check;
