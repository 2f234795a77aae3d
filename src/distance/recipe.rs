//! What `photosphere distance --config` reads.

use super::columns::ColumnMap;
use super::neighbours::NeighbourOptions;
use super::options::DistanceOptions;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// Columns and options.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistanceRecipe {
    pub columns: ColumnMap,
    pub options: DistanceOptions,
    /// For `--by-neighbours`.
    pub neighbours: NeighbourOptions,
}

impl DistanceRecipe {
    /// Whether all numbers are possible.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn validate(&self) -> Result<()> {
        let coefficient = self.columns.extinction_coefficient;
        if !(0.0..=100.0).contains(&coefficient) {
            return Err(crate::error::Error::usage("columns.extinction_coefficient")
                .found(coefficient.to_string())
                .expected("a number from 0 to 100")
                .remedy("It is A/E(B-V) in the band where the column is a reddening, and 1 where it is an extinction."));
        }
        self.options.validate()?;
        self.neighbours.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_survive_a_file() {
        let recipe = DistanceRecipe::default();
        recipe.validate().unwrap();
        let text = toml::to_string(&recipe).unwrap();
        assert_eq!(toml::from_str::<DistanceRecipe>(&text).unwrap(), recipe);
        assert!(toml::from_str::<DistanceRecipe>("[column]\nra = \"RA\"").is_err());
        let bad: DistanceRecipe = toml::from_str("[columns]\nextinction_coefficient = -1.0").unwrap();
        assert!(bad.validate().unwrap_err().to_string().starts_with("columns.extinction_coefficient"));
    }
}
