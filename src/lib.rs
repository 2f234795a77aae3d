//! photosphere

pub mod error;
pub mod model;
pub mod noise;
pub mod observations;
pub mod optimise;
pub mod prior;
pub mod survey;
pub mod table;
pub mod tensor;
#[cfg(test)]
mod testing;
