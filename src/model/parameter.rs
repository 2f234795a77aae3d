//! Parameters of a star: names, units, transforms and standardisation.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The function of a parameter in which the optimiser works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// The parameter itself.
    #[default]
    Identity,
    /// Its natural logarithm: the parameter is positive.
    Logarithm,
}

/// A Gaussian prior on a parameter (in model units).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianPrior {
    pub mean: f64,
    pub standard_deviation: f64,
}

/// One parameter of a star.
///
/// The *model value* is `model_units_per_file_unit` times the value in files (T_eff: kK and K). The *coordinate* that the
/// optimiser moves is `(t(model value) − centre)/scale` with the [`Transform`] t.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Column name in files (`teff`).
    pub name: String,
    /// Unit in files (`K`), empty for dimensionless.
    pub unit: String,
    pub description: String,
    /// Model value per file value.
    pub model_units_per_file_unit: f64,
    #[serde(default)]
    pub transform: Transform,
    /// Centre of the standardisation, in units of the transformed model value.
    pub centre: f64,
    /// Scale of the standardisation.
    pub scale: f64,
    /// Whether the mixture prior covers it (it is a stellar label).
    #[serde(default)]
    pub is_label: bool,
    /// A Gaussian prior that belongs to the model itself (ξ ~ N(0, 1)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<GaussianPrior>,
    /// 0.5 and 99.5 percentile of the training sample, model units; beyond them the model extrapolates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_range: Option<[f64; 2]>,
}

impl Parameter {
    /// A parameter whose model unit is the file unit, without transform or standardisation.
    pub fn new(name: &str, unit: &str, description: &str) -> Self {
        Self {
            name: name.into(),
            unit: unit.into(),
            description: description.into(),
            model_units_per_file_unit: 1.0,
            transform: Transform::Identity,
            centre: 0.0,
            scale: 1.0,
            is_label: false,
            prior: None,
            training_range: None,
        }
    }

    /// A stellar label; `teff` is kK inside models and K in files. Logarithmic ones have no unit string: `dex` is not a FITS unit.
    pub fn label(name: &str) -> Self {
        let (unit, description, factor) = match name {
            "teff" => ("K", "effective temperature", 1e-3),
            "logg" => ("", "surface gravity, log10 of cm/s2 (dex)", 1.0),
            "feh" => ("", "iron abundance [Fe/H] (dex)", 1.0),
            _ => ("", "stellar label (dex)", 1.0),
        };
        Self { model_units_per_file_unit: factor, is_label: true, ..Self::new(name, unit, description) }
    }

    /// Whether it is a positive amount that is moved as its logarithm, as one of dust: ln flux is linear in the amount itself, or nearly so. (In
    /// the parallax, ln flux is linear in the logarithm.)
    pub fn is_amount(&self) -> bool {
        self.transform == Transform::Logarithm && !self.is_label && self.name != "parallax"
    }

    /// The same parameter moved in another transform.
    pub fn with_transform(self, transform: Transform) -> Self {
        Self { transform, ..self }
    }

    /// Coordinate of a model value; not finite where the transform is undefined.
    pub fn coordinate(&self, model_value: f64) -> f64 {
        let transformed = match self.transform {
            Transform::Identity => model_value,
            Transform::Logarithm => model_value.ln(),
        };
        (transformed - self.centre) / self.scale
    }

    /// Coordinate of a value in file units.
    pub fn coordinate_from_file(&self, value: f64) -> f64 {
        self.coordinate(value * self.model_units_per_file_unit)
    }

    /// Model value at a coordinate.
    pub fn model_value(&self, coordinate: f64) -> f64 {
        let transformed = self.centre + self.scale * coordinate;
        match self.transform {
            Transform::Identity => transformed,
            Transform::Logarithm => transformed.exp(),
        }
    }

    /// d(model value)/d(coordinate) at a coordinate.
    pub fn model_value_slope(&self, coordinate: f64) -> f64 {
        match self.transform {
            Transform::Identity => self.scale,
            Transform::Logarithm => self.scale * self.model_value(coordinate),
        }
    }
}

/// The parameters of a model in the order of its coordinates.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParameterSpace {
    pub parameters: Vec<Parameter>,
}

impl ParameterSpace {
    /// The union of the parameters that effects declare; an effect may read a parameter that an earlier one declared.
    ///
    /// # Errors
    /// When two effects declare the same name with different units or transforms.
    pub fn union(declared: impl IntoIterator<Item = Parameter>) -> Result<Self> {
        let mut parameters: Vec<Parameter> = Vec::new();
        for parameter in declared {
            match parameters.iter().find(|other| other.name == parameter.name) {
                None => parameters.push(parameter),
                Some(other) if *other == parameter => {}
                Some(other) => {
                    return Err(Error::model(format!("parameter '{}'", parameter.name))
                        .found(format!("two declarations: {other:?} and {parameter:?}"))
                        .expected("the same declaration in every effect that shares it"));
                }
            }
        }
        Ok(Self { parameters })
    }

    /// Number of parameters P.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// Position of the parameter of that name.
    ///
    /// # Errors
    /// Names the parameters that there are.
    pub fn position(&self, name: &str) -> Result<usize> {
        self.parameters.iter().position(|parameter| parameter.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            Error::model(format!("parameter '{name}'"))
                .found(format!("a model with {}", names.join(", ")))
                .expected("one of its parameters")
                .remedy("`photosphere inspect MODEL` lists the parameters of a model.")
        })
    }

    /// The parameter of that name.
    pub fn get(&self, name: &str) -> Result<&Parameter> {
        Ok(&self.parameters[self.position(name)?])
    }

    /// Positions of the labels that the mixture prior covers.
    pub fn label_positions(&self) -> Vec<usize> {
        (0..self.len()).filter(|&i| self.parameters[i].is_label).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_round_trip_and_slopes_are_differences() {
        let mut teff = Parameter::label("teff");
        (teff.centre, teff.scale) = (5.6, 0.8);
        let parallax = Parameter::new("parallax", "mas", "").with_transform(Transform::Logarithm);
        for (parameter, value) in [(teff, 4.9), (parallax, 0.37)] {
            let u = parameter.coordinate(value);
            assert!((parameter.model_value(u) - value).abs() < 1e-14);
            let h = 1e-5;
            let slope = (parameter.model_value(u + h) - parameter.model_value(u - h)) / (2.0 * h);
            assert!((parameter.model_value_slope(u) / slope - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn shared_parameters_must_agree() {
        let extinction = Parameter::new("extinction", "mag", "");
        let shared = ParameterSpace::union([extinction.clone(), extinction.clone()]).unwrap();
        assert_eq!(shared.len(), 1);
        let clash = extinction.clone().with_transform(Transform::Logarithm);
        assert!(ParameterSpace::union([extinction, clash]).is_err());
    }
}
