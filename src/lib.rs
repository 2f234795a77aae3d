//! photosphere

pub mod error;
pub mod noise;
pub mod optimise;
pub mod table;
#[cfg(test)]
mod testing;
pub mod validate;
