//! photosphere

pub mod error;
pub mod noise;
pub mod optimise;
pub mod simulate;
pub mod spectrum;
pub mod survey;
pub mod table;
#[cfg(test)]
mod testing;
