//! Parameters of a star: names, units, transforms and standardisation.

use super::role::{Role, as_is_label};
use crate::error::{Error, Result};
use crate::quantity::Facts;
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

/// A positive parameter may become so many times larger or smaller than its start, where no range is
/// declared.
const SPAN: f64 = 1e4;
/// An amount that is moved as its logarithm may become so many times smaller than its start.
const SMALLEST: f64 = 1e3;

/// A Gaussian prior on a parameter (in model units).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianPrior {
    pub mean: f64,
    pub standard_deviation: f64,
}

/// One parameter of a star.
///
/// The *model value* is `model_units_per_file_unit` times the value in files (T_eff: kK and K).
/// The *coordinate* that the optimiser moves is `(t(model value) − centre)/scale` with the [`Transform`] t.
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
    /// What it is for a star. In files, whether it is a label.
    #[serde(default, rename = "is_label", with = "as_is_label")]
    pub role: Role,
    /// Model value from which it starts where nothing is measured (labels start from their centre); positive
    /// for those that are positive. Of the effect, not in files.
    #[serde(skip)]
    pub start: f64,
    /// Model values that a search may take, far outside of what data prefer; `None` for no limits of its own.
    /// Of the effect, not in files.
    #[serde(skip)]
    pub range: Option<[f64; 2]>,
    /// A Gaussian prior that belongs to the model itself (ξ ~ N(0, 1)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<GaussianPrior>,
    /// 0.5 and 99.5 percentile of the training sample, model units; beyond them the model extrapolates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_range: Option<[f64; 2]>,
}

impl Parameter {
    /// In what another declaration of the same name differs.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let scaling = |one: &Self| (one.model_units_per_file_unit, one.centre, one.scale);
        let all = [
            ("unit", self.unit != other.unit),
            ("meaning", self.description != other.description || self.role != other.role),
            ("transform", self.transform != other.transform || scaling(self) != scaling(other)),
            ("range", self.range != other.range || self.start != other.start),
            ("prior", self.prior != other.prior),
            ("training range", self.training_range != other.training_range),
        ];
        all.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }

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
            role: Role::Shape,
            start: 0.0,
            range: None,
            prior: None,
            training_range: None,
        }
    }

    /// A stellar label by what is known of its name ([`Facts::of`]): `teff` is kK inside models and K in
    /// files. Logarithmic ones have no unit string: `dex` is not a FITS unit.
    pub fn label(name: &str) -> Self {
        Self::label_with(name, &Facts::of(name))
    }

    /// A stellar label with facts of its own.
    pub fn label_with(name: &str, facts: &Facts) -> Self {
        let description = if facts.description.is_empty() { "stellar label" } else { &facts.description };
        let parameter = Self::new(name, facts.unit_in_files(), description);
        let factor = facts.model_units_per_file_unit;
        let range = (facts.range != Facts::default().range).then(|| facts.range.map(|bound| bound * factor));
        Self { model_units_per_file_unit: factor, role: Role::Label, range, ..parameter }
    }

    /// An amount such as that of dust, from `start` (model units) and moved as its logarithm unless a run
    /// chooses otherwise; `largest` is the most that a search may take.
    pub fn amount(name: &str, unit: &str, description: &str, start: f64, largest: f64) -> Self {
        let amount = Self { role: Role::Amount, start, range: Some([0.0, largest]), ..Self::new(name, unit, description) };
        amount.with_transform(Transform::Logarithm)
    }

    /// The distance parameter, such as the parallax, from `start` (model units) and moved as its logarithm
    /// unless a run chooses otherwise.
    pub fn distance(name: &str, unit: &str, description: &str, start: f64) -> Self {
        let range = Some([start / SPAN, start * SPAN]);
        let distance = Self { role: Role::Distance, start, range, ..Self::new(name, unit, description) };
        distance.with_transform(Transform::Logarithm)
    }

    /// Whether it is a label.
    pub fn is_label(&self) -> bool {
        self.role == Role::Label
    }

    /// Whether it is an amount that cannot be negative.
    pub fn is_amount(&self) -> bool {
        self.role == Role::Amount
    }

    /// Whether it is the distance parameter.
    pub fn is_distance(&self) -> bool {
        self.role == Role::Distance
    }

    /// The same parameter moved in another transform.
    pub fn with_transform(self, transform: Transform) -> Self {
        let start = if transform == Transform::Logarithm && self.start <= 0.0 { 1.0 } else { self.start };
        Self { transform, start, ..self }
    }

    /// The same parameter, with what files do not say of it as an effect declares it: role, start and range.
    pub fn as_declared(self, declared: &Self) -> Self {
        let Self { role, start, range, .. } = declared.clone().with_transform(self.transform);
        Self { role, start, range, ..self }
    }

    /// Coordinate from which it starts where nothing is measured.
    pub fn start_coordinate(&self) -> f64 {
        if self.is_label() { 0.0 } else { self.coordinate(self.start) }
    }

    /// Least and greatest coordinate that a search may take: those of its range; of a label once more as far
    /// as the training sample goes, and of one that cannot be zero, such as a temperature, down to half of
    /// what the sample has.
    ///
    /// What is moved as a logarithm has a lower limit in any case: without it, ln E of a star without dust
    /// would be on its way to −∞.
    pub fn limits(&self) -> [f64; 2] {
        let unbounded = [f64::NEG_INFINITY, f64::INFINITY];
        let [low, high] = match (self.range, self.transform) {
            (Some([low, high]), Transform::Identity) => [self.coordinate(low), self.coordinate(high)],
            (Some([low, high]), Transform::Logarithm) => {
                let low = if low > 0.0 { low } else { self.start / SMALLEST };
                [self.coordinate(low), self.coordinate(high)]
            }
            (None, Transform::Logarithm) if !self.is_label() => {
                [self.coordinate(self.start / SPAN), self.coordinate(self.start * SPAN)]
            }
            (None, _) => unbounded,
        };
        match self.training_range.filter(|_| self.is_label()) {
            Some(range) => {
                let is_positive = self.range.is_some_and(|[low, _]| low > 0.0);
                let low = if is_positive { low.max(self.coordinate(0.5 * range[0])) } else { low };
                let [least, greatest] = range.map(|value| self.coordinate(value));
                [low.max(2.0 * least - greatest), high.min(2.0 * greatest - least)]
            }
            None => [low, high],
        }
    }

    /// Model value in the function in which the optimiser works, before standardisation; not finite where
    /// that is undefined.
    pub fn transformed(&self, model_value: f64) -> f64 {
        match self.transform {
            Transform::Identity => model_value,
            Transform::Logarithm => model_value.ln(),
        }
    }

    /// Coordinate of a model value; not finite where the transform is undefined.
    pub fn coordinate(&self, model_value: f64) -> f64 {
        (self.transformed(model_value) - self.centre) / self.scale
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
    /// The union of the parameters that effects declare; an effect may read a parameter that an earlier one
    /// declared.
    ///
    /// # Errors
    /// When two effects declare the same name with different units, roles or transforms, there are two
    /// distance parameters, or a positive parameter starts from where it has no logarithm.
    pub fn union(declared: impl IntoIterator<Item = Parameter>) -> Result<Self> {
        let mut parameters: Vec<Parameter> = Vec::new();
        for parameter in declared {
            match parameters.iter().find(|other| other.name == parameter.name) {
                None => parameters.push(parameter),
                Some(other) if *other == parameter => {}
                Some(other) => {
                    return Err(Error::model(format!("parameter '{}'", parameter.name))
                        .found(format!("two effects that declare it, with other {}", other.differences(&parameter).join(", ")))
                        .expected("the same declaration in every effect that shares it")
                        .remedy("Give one of the two another name (in the recipe, by the key that names it)."));
                }
            }
        }
        let distances: Vec<&str> =
            parameters.iter().filter(|parameter| parameter.is_distance()).map(|parameter| parameter.name.as_str()).collect();
        if distances.len() > 1 {
            return Err(Error::model("parameters")
                .found(format!("{} distance parameters: {}", distances.len(), distances.join(", ")))
                .expected("one at most: the flux says nothing of which of them changed it")
                .remedy("Leave one of the effects out, or let both read the same parameter."));
        }
        if let Some(parameter) = parameters.iter().find(|parameter| !parameter.start_coordinate().is_finite()) {
            return Err(Error::model(format!("parameter '{}'", parameter.name))
                .found(format!("a start of {}", parameter.start))
                .expected("a number at which its transform is defined"));
        }
        Ok(Self { parameters })
    }

    /// The names of parameters that a list of names of parameters and of roles ([`Role::name`]) means, in its
    /// order, each once. A name that is neither stays, to be refused by those who look it up.
    pub fn named(&self, names: &[String]) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for name in names {
            let role = Role::ALL.into_iter().find(|role| role.name() == name);
            let role = role.filter(|_| self.position(name).is_err());
            let of_role = self.parameters.iter().filter(|parameter| Some(parameter.role) == role);
            let of_role: Vec<String> = of_role.map(|parameter| parameter.name.clone()).collect();
            let meant = if role.is_some() { of_role } else { vec![name.clone()] };
            all.extend(meant.into_iter().filter(|name| !all.contains(name)).collect::<Vec<_>>());
        }
        all
    }

    /// Number of parameters P.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// Position of the distance parameter, where there is one.
    pub fn distance_position(&self) -> Option<usize> {
        self.parameters.iter().position(Parameter::is_distance)
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
        (0..self.len()).filter(|&i| self.parameters[i].is_label()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_round_trip_and_slopes_are_differences() {
        let mut teff = Parameter::label("teff");
        (teff.centre, teff.scale) = (5.6, 0.8);
        let parallax = Parameter::distance("parallax", "mas", "", 1.0);
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
        let distances = ["parallax", "dilution"].map(|name| Parameter::distance(name, "", "", 1.0));
        let message = ParameterSpace::union(distances).unwrap_err().to_string();
        assert!(message.contains("parallax, dilution"), "{message}");
        assert!(
            ParameterSpace::union([Parameter::amount("dust", "mag", "", -0.1, 1.0)]).is_ok(),
            "a start that has no logarithm is 1"
        );
        let nowhere = Parameter { start: f64::NAN, ..Parameter::amount("dust", "mag", "", 0.1, 1.0) };
        assert!(ParameterSpace::union([nowhere]).is_err());
    }

    #[test]
    fn lists_name_parameters_and_roles() {
        let dust = ["dust", "more_dust"].map(|name| Parameter::amount(name, "mag", "", 0.1, 10.0));
        let labels = ["teff", "amount"].map(Parameter::label);
        let named =
            |space: &ParameterSpace, names: &[&str]| space.named(&names.iter().map(|&name| name.into()).collect::<Vec<_>>());
        let space = ParameterSpace { parameters: dust.to_vec() };
        assert_eq!(named(&space, &["distance", "amount", "dust"]), ["dust", "more_dust"]);
        assert_eq!(named(&space, &["parallax"]), ["parallax"], "to be refused by those who look for it");
        let space = ParameterSpace { parameters: [labels, dust].concat() };
        assert_eq!(named(&space, &["amount", "label"]), ["amount", "teff"], "a parameter of that name comes first");
    }

    #[test]
    fn limits_are_those_of_the_parameter() {
        let limits = |parameter: &Parameter| parameter.limits().map(|coordinate| parameter.model_value(coordinate));
        let dust = Parameter::amount("dust", "mag", "", 0.1, 100.0);
        let close =
            |found: [f64; 2], expected: [f64; 2]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs());
        assert!(close(limits(&dust), [1e-4, 100.0]) && close(limits(&dust.with_transform(Transform::Identity)), [0.0, 100.0]));
        assert!(close(limits(&Parameter::distance("d", "", "", 5.0)), [5e-4, 5e4]));
        let shape = Parameter::new("xi", "", "");
        assert_eq!(shape.limits(), [f64::NEG_INFINITY, f64::INFINITY]);
        assert!(close(limits(&shape.with_transform(Transform::Logarithm)), [1e-4, 1e4]));
        let (centre, scale) = (0.5, 2.0);
        let label = Parameter { training_range: Some([-1.0, 2.0]), centre, scale, ..Parameter::label("feh") };
        // [Fe/H] of 5 is beyond what can be at all.
        assert!(close(limits(&label), [-4.0, 3.0]));
        let velocity =
            Parameter { training_range: Some([10.0, 20.0]), ..Parameter::label("vsini") }.with_transform(Transform::Logarithm);
        assert!(close(limits(&velocity), [5.0, 40.0]));
        // No star has −0.5 kK, whatever the span of the sample; of a label without a sample, what can be at
        // all.
        let temperature = Parameter { training_range: Some([3.5, 7.5]), ..Parameter::label("teff") };
        assert!(close(limits(&temperature), [1.75, 11.5]));
        assert!(close(limits(&Parameter::label("teff")), [0.1, 1000.0]));
    }
}
