//! Recipes that come with the program.

use crate::error::{Error, Result};
use std::path::Path;

/// What a built-in recipe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Train,
    Prepare,
}

/// A recipe in the program.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    pub name: &'static str,
    pub purpose: Purpose,
    pub description: &'static str,
    pub text: &'static str,
}

/// All of them.
pub const ALL: &[BuiltIn] = &[
    BuiltIn {
        name: "xp",
        purpose: Purpose::Train,
        description: "train on Gaia XP spectra with 2MASS and WISE",
        text: include_str!("../../models/recipes/xp.toml"),
    },
    BuiltIn {
        name: "xp-paper",
        purpose: Purpose::Train,
        description: "the six phases of Zhang, Green & Rix (2023) on the same data",
        text: include_str!("../../models/recipes/xp-paper.toml"),
    },
    BuiltIn {
        name: "xp-paper-variation",
        purpose: Purpose::Train,
        description: "the fourteen stages of its program with a varying extinction curve",
        text: include_str!("../../models/recipes/xp-paper-variation.toml"),
    },
    BuiltIn {
        name: "photometry-lamost",
        purpose: Purpose::Train,
        description: "train on 13 photometric bands with LAMOST labels",
        text: include_str!("../../models/recipes/photometry-lamost.toml"),
    },
    BuiltIn {
        name: "regression-photometry-lamost",
        purpose: Purpose::Train,
        description: "train direct networks from the same bands and a parallax to LAMOST labels",
        text: include_str!("../../models/regression/photometry-lamost.toml"),
    },
    BuiltIn {
        name: "specdis",
        purpose: Purpose::Train,
        description: "train absolute magnitudes from spectra and noisy parallaxes (Li et al. 2025)",
        text: include_str!("../../models/regression/specdis.toml"),
    },
    BuiltIn {
        name: "solardis",
        purpose: Purpose::Train,
        description: "train a convolutional network of five labels of solar-like stars (Shen et al. 2025)",
        text: include_str!("../../models/regression/solardis.toml"),
    },
    BuiltIn {
        name: "ob-stars",
        purpose: Purpose::Train,
        description: "train M_Ks of OB stars from spectra and noisy parallaxes (Xiang et al. 2021)",
        text: include_str!("../../models/regression/ob-stars.toml"),
    },
    BuiltIn {
        name: "prepare-xp",
        purpose: Purpose::Prepare,
        description: "join XP spectra, infrared photometry, parallaxes and labels",
        text: include_str!("../../models/recipes/prepare-xp.toml"),
    },
    BuiltIn {
        name: "prepare-photometry-lamost",
        purpose: Purpose::Prepare,
        description: "join 13 photometric bands, parallaxes and LAMOST labels",
        text: include_str!("../../models/recipes/prepare-photometry-lamost.toml"),
    },
    BuiltIn {
        name: "prepare-spectra",
        purpose: Purpose::Prepare,
        description: "bring spectra of DESI, LAMOST or SDSS onto one grid, with labels",
        text: include_str!("../../models/recipes/prepare-spectra.toml"),
    },
];

/// The built-in recipe of that name.
pub fn find(name: &str) -> Option<&'static BuiltIn> {
    ALL.iter().find(|recipe| recipe.name == name)
}

/// The text of a recipe to train by, of whatever kind.
pub struct TrainingRecipe {
    pub text: String,
    /// Where it is from, for messages.
    pub place: String,
}

impl TrainingRecipe {
    /// In a file, or a built-in one by name.
    ///
    /// # Errors
    /// When there is neither, or the file cannot be read.
    pub fn named(name_or_path: &str) -> Result<Self> {
        let path = Path::new(name_or_path);
        match find(name_or_path).filter(|recipe| recipe.purpose == Purpose::Train) {
            Some(recipe) => Ok(Self { text: recipe.text.into(), place: format!("built-in recipe '{}'", recipe.name) }),
            None if path.exists() => {
                let text = std::fs::read_to_string(path).map_err(|error| Error::reading(path, error))?;
                Ok(Self { text, place: path.display().to_string() })
            }
            None => Err(Error::usage(format!("recipe '{name_or_path}'"))
                .found("no such file")
                .expected(format!("a recipe (TOML) or one of {}", names(Purpose::Train)))
                .remedy("`photosphere recipe` lists the built-in recipes.")),
        }
    }
}

/// Names of the built-in recipes for a purpose, for messages.
pub fn names(purpose: Purpose) -> String {
    let names: Vec<&str> = ALL.iter().filter(|recipe| recipe.purpose == purpose).map(|recipe| recipe.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::{Kind, kind_of};
    use crate::regress::{RegressionModel, RegressionRecipe};
    use crate::survey::prepare::PrepareRecipe;
    use crate::train::Recipe;

    #[test]
    fn all_are_valid() {
        for recipe in ALL {
            match recipe.purpose {
                Purpose::Train if kind_of(recipe.text).as_deref() == Some(RegressionModel::KIND) => {
                    drop(RegressionRecipe::parse(recipe.text, recipe.name).unwrap());
                }
                Purpose::Train => drop(Recipe::parse(recipe.text, recipe.name).unwrap()),
                Purpose::Prepare => drop(PrepareRecipe::parse(recipe.text).unwrap()),
            }
        }
    }
}
