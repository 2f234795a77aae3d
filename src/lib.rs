//! photosphere

pub mod error;
pub mod noise;
pub mod optimise;
pub mod prior;
pub mod table;
#[cfg(test)]
mod testing;
