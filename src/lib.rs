//! photosphere

pub mod error;
pub mod noise;
pub mod optimise;
pub mod survey;
pub mod table;
#[cfg(test)]
mod testing;
