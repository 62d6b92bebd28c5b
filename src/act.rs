//! The locks of apps.

mod gates;

pub use gates::Gates;
