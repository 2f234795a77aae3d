//! A model that says where fits of another one start: what is checked of it whatever is fitted.

use super::estimator::{Estimated, Estimator};
use super::request::{Request, StartFrom};
use crate::error::{Error, Result};
use crate::observations::{Observations, PURE_NUMBER, ReadOptions};
use crate::table::Table;
use crate::unit;
use std::sync::Arc;

/// The option that names it.
const OPTION: &str = "--start-from";

/// The estimates of another model, from observations as the fit reads them.
pub struct Guide {
    estimator: Arc<dyn Estimator>,
    sha256: String,
    parameters: Vec<String>,
    remedy: &'static str,
}

impl StartFrom {
    /// Refuses models of a kind that are fitted by the same search, so that stars would be fitted twice.
    ///
    /// # Errors
    /// `Usage` where it is of this kind.
    pub fn require_other_than(&self, kind: &str, remedy: &str) -> Result<()> {
        match self.0.kind() == kind {
            false => Ok(()),
            true => Err(Error::usage(OPTION)
                .found(format!("a model of the kind '{kind}', whose stars would be fitted twice"))
                .expected("a model that predicts the labels")
                .remedy(remedy)),
        }
    }

    /// The guide of a fit that reads its observations in a way of its `own`. Which pixels it wants is for the
    /// fit to check.
    ///
    /// # Errors
    /// `Usage` when it reads fluxes in another unit, or measured values with another offset, than the fit, or
    /// errors that the fit has not.
    pub fn guide(&self, own: &ReadOptions, remedy: &'static str) -> Result<Guide> {
        let package = &self.0;
        let estimator = package.clone().estimator(&Request { values_alone: true, ..Request::default() })?;
        let wanted = estimator.read_options();
        let fault = |found: String, expected: String| Err(Error::usage(OPTION).found(found).expected(expected).remedy(remedy));
        let is_number = |unit: &str| unit == PURE_NUMBER || unit::is_absent(unit);
        if let (Some(unit), Some(expected)) = (&wanted.flux_unit, &own.flux_unit)
            && unit != expected
            && !(is_number(unit) && is_number(expected))
        {
            return fault(format!("fluxes in '{unit}'"), format!("fluxes in '{expected}', as the model has them"));
        }
        let offset = |options: &ReadOptions, name: &String| options.offsets.get(name).copied().unwrap_or(0.0);
        // What the fit does not read is read as the guide wants it.
        let is_shared = |name: &&String| own.constraints.contains(name) || own.offsets.contains_key(*name);
        let differs = |name: &&String| offset(&wanted, name) != offset(own, name);
        if let Some(name) = wanted.constraints.iter().filter(is_shared).find(differs) {
            return fault(
                format!("an offset of {} of '{name}', which is an input there", offset(&wanted, name)),
                format!("the offset of the fit, {}", offset(own, name)),
            );
        }
        Ok(Guide { estimator, sha256: package.sha256().to_owned(), parameters: package.parameters(), remedy })
    }
}

impl Guide {
    /// Hash of the model.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// How it reads observations.
    pub fn read_options(&self) -> ReadOptions {
        self.estimator.read_options()
    }

    /// The column of a parameter among its estimates.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.parameters.iter().position(|other| other == name)
    }

    /// The column of a label that fits cannot start without.
    ///
    /// # Errors
    /// `Usage` where it is not estimated.
    pub fn require_column(&self, label: &str) -> Result<usize> {
        self.column(label).ok_or_else(|| {
            Error::usage(OPTION)
                .found(format!("a model of {}", self.parameters.join(", ")))
                .expected(format!("one that predicts the label '{label}' too"))
                .remedy(self.remedy)
        })
    }

    /// What is read so that it can estimate, besides what the fit wants.
    pub fn add_to(&self, options: &mut ReadOptions) {
        let ReadOptions { constraints, offsets, units, .. } = self.estimator.read_options();
        for name in constraints.into_iter().filter(|name| !options.constraints.contains(name)).collect::<Vec<_>>() {
            if let Some(offset) = offsets.get(&name) {
                options.offsets.insert(name.clone(), *offset);
            }
            if let Some(unit) = units.get(&name) {
                options.units.insert(name.clone(), unit.clone());
            }
            options.constraints.push(name);
        }
    }

    /// Estimates of all stars.
    ///
    /// # Errors
    /// As [`Estimator::estimate`].
    pub fn estimate(&self, observations: &Observations) -> Result<Estimated> {
        self.estimator.estimate(observations, &|_| Ok(()))
    }

    /// Refuses estimates of a parameter in another unit than `expected`, where both say one.
    ///
    /// # Errors
    /// `Usage` for another unit; where there is no such column.
    pub fn require_unit(&self, estimated: &Table, name: &str, expected: &str) -> Result<()> {
        let found = estimated.column(name)?.schema.unit.as_str();
        let is_same = found == expected
            || unit::is_absent(found)
            || unit::is_absent(expected)
            || unit::conversion(found, expected).is_some_and(|conversion| conversion.is_identity());
        match is_same {
            true => Ok(()),
            false => Err(Error::usage(OPTION)
                .found(format!("'{name}' in '{found}'"))
                .expected(format!("it in '{expected}', as the model of the fit has it"))
                .remedy("Name a model that was trained on labels in the same units.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observations::Grid;
    use crate::package::{Package, Reached};
    use crate::table::{Column, ColumnSchema, Values};
    use ndarray::Array2;
    use serde_json::Value;

    /// Predicts T_eff, from a measured parallax.
    struct Fake(Grid, ReadOptions);

    impl Package for Fake {
        fn kind(&self) -> &'static str {
            "fake"
        }

        fn sha256(&self) -> &str {
            "0123"
        }

        fn grid(&self) -> &Grid {
            &self.0
        }

        fn parameters(&self) -> Vec<String> {
            vec!["teff".into()]
        }

        fn estimator(self: Arc<Self>, _request: &Request) -> Result<Arc<dyn Estimator>> {
            Ok(self)
        }

        fn describe(&self) -> (String, Value) {
            (String::new(), Value::Null)
        }
    }

    impl Estimator for Fake {
        fn read_options(&self) -> ReadOptions {
            self.1.clone()
        }

        fn choices(&self) -> Result<String> {
            Ok(String::new())
        }

        fn estimate(&self, observations: &Observations, _reached: Reached<'_>) -> Result<Estimated> {
            let n = observations.len();
            let table = Table::new(Vec::new())?;
            Ok(Estimated { table, flags: vec![0; n], values: Array2::zeros((n, 1)), residuals: None })
        }
    }

    fn reading(constraint: &str, offset: f64, flux_unit: &str) -> ReadOptions {
        ReadOptions {
            constraints: vec![constraint.into()],
            offsets: [(constraint.to_owned(), offset)].into(),
            flux_unit: Some(flux_unit.into()),
            ..ReadOptions::default()
        }
    }

    #[test]
    fn what_a_guide_reads_is_passed_on_or_refused() {
        let grid = Grid::new(vec![500.0, 500.1], vec!["a".into(), "b".into()]).unwrap();
        let from = StartFrom(Arc::new(Fake(grid, reading("parallax", 0.03, "Jy"))));
        let fault = |own: &ReadOptions| from.guide(own, "Name another.").err().unwrap().to_string();
        assert!(fault(&reading("teff", 0.0, "W")).contains("fluxes in 'Jy'"));
        let error = fault(&reading("parallax", 0.0, "Jy"));
        assert!(error.contains("an offset of 0.03") && error.contains("Name another"), "{error}");
        from.guide(&reading("parallax", 0.03, "Jy"), "").unwrap();
        // What the fit does not read itself is read as the guide wants it.
        let guide = from.guide(&ReadOptions::default(), "").unwrap();
        let mut own = ReadOptions::default();
        guide.add_to(&mut own);
        assert!(own.constraints == ["parallax"] && own.offsets["parallax"] == 0.03);
        assert!(guide.sha256() == "0123" && guide.require_column("teff").unwrap() == 0);
        assert!(guide.require_column("logg").unwrap_err().to_string().contains("'logg'"));
        from.require_other_than("forward_model", "").unwrap();
        assert!(from.require_other_than("fake", "").unwrap_err().to_string().contains("fitted twice"));
        let column = |unit: &str| Column::scalar(ColumnSchema::new("teff", unit, ""), Values::Float64(vec![5000.0]));
        for (found, expected, is_same) in [("K", "K", true), ("", "K", true), ("K", "", true), ("kK", "K", false)] {
            let table = Table::new(vec![column(found)]).unwrap();
            assert_eq!(guide.require_unit(&table, "teff", expected).is_ok(), is_same, "'{found}' '{expected}'");
        }
    }
}
