//! photosphere

pub mod cli;
pub mod error;
pub mod infer;
pub mod model;
pub mod noise;
pub mod observations;
pub mod optimise;
pub mod posterior;
pub mod prior;
pub mod simulate;
pub mod spectrum;
pub mod survey;
pub mod table;
pub mod tensor;
#[cfg(test)]
mod testing;
pub mod train;
pub mod validate;
