//! What a fit adds to a catalogue (spec 1 §5, the paper's Table 2; names as in the conventions).

use super::estimates::Estimates;
use super::flags;
use crate::catalogue::flags::description;
use crate::catalogue::{CatalogueColumns, packed};
use crate::error::Result;
use crate::quantity::Facts;
use crate::table::{Column, ColumnSchema, Table, Values};
use ndarray::Array3;

/// Errors of errors want no more, and a third of a catalogue would be their digits.
fn in_single_precision(column: Column) -> Column {
    match column.values {
        Values::Float64(values) => {
            Column { values: Values::Float32(values.into_iter().map(|value| value as f32).collect()), ..column }
        }
        _ => column,
    }
}

impl Estimates {
    /// The catalogue: one row per star, in the order of the observations. `model_id` names the model that
    /// made it.
    ///
    /// # Errors
    /// When two columns would have the same name.
    pub fn to_table(&self, model_id: &str) -> Result<Table> {
        let derived = self.derived.iter().map(|(derived, values)| {
            let schema = ColumnSchema::new(&derived.name, &derived.unit, &derived.description);
            Column::nullable(schema.with_ucd(&derived.ucd), values.clone())
        });
        let mut diagnostics = self.shared_columns();
        diagnostics.extend(self.diagnostics());
        if let Some(posterior) = &self.posterior {
            let named = |position: &usize| (self.parameters[*position].0.as_str(), self.parameters[*position].1.as_str());
            let fitted: Vec<(&str, &str)> = self.fitted.iter().map(named).collect();
            let derived = self.derived.iter().map(|(derived, _)| (derived.name.as_str(), derived.unit.as_str()));
            diagnostics.extend(posterior.columns(&fitted, &derived.collect::<Vec<_>>()));
        }
        if let Some(second_star) = &self.second_star {
            diagnostics.extend(second_star.columns());
        }
        let columns = CatalogueColumns {
            derived: derived.collect(),
            diagnostics,
            after_flags: vec![Column::scalar(
                ColumnSchema::new("n_iterations", "", "iterations of the optimiser from the start that won"),
                Values::Int32(self.n_iterations.iter().map(|&count| count as i32).collect()),
            )],
            errors: "Fisher matrix and model calibration".into(),
            covariances: "fluxes, constraints and the model's calibration".into(),
            flags: description(&flags::FLAGS),
        };
        self.core.to_table(columns, model_id)
    }

    /// What of the errors like stars share; null where the model does not say.
    fn shared_columns(&self) -> Vec<Column> {
        let (n, f) = (self.len(), self.fitted.len());
        let none;
        let shared = match &self.shared {
            Some(shared) => shared,
            None => {
                none = Array3::from_elem((n, f, f), f64::NAN);
                &none
            }
        };
        let mut columns = Vec::new();
        for (index, &position) in self.fitted.iter().enumerate() {
            let (name, unit, _) = &self.parameters[position];
            let description = format!("part of {name}_error that like stars share: a mean of them keeps it (null: not known)");
            let schema = ColumnSchema::new(format!("{name}_shared_error"), unit, description);
            let values = (0..n).map(|star| shared[[star, index, index]].sqrt()).collect();
            columns.push(Column::nullable(schema.with_ucd(format!("stat.error.sys;{}", Facts::of(name).ucd)), values));
        }
        let order: Vec<&str> = self.fitted.iter().map(|&position| self.parameters[position].0.as_str()).collect();
        let description = format!(
            "part of covariance_triu that like stars share (the model's calibration), row-wise upper triangle in the order {}",
            order.join(", ")
        );
        columns.push(packed(ColumnSchema::new("shared_covariance_triu", "", description).with_ucd("stat.covariance"), shared));
        columns.into_iter().map(in_single_precision).collect()
    }

    fn diagnostics(&self) -> Vec<Column> {
        let scalar = |name: &str, description: &str, ucd: &str, values: &[f64]| {
            Column::nullable(ColumnSchema::new(name, "", description).with_ucd(ucd), values.to_vec())
        };
        let degrees = "degrees of freedom of chi2: n_flux less the number of parameters that the fluxes determine, which parallax \
                       and prior lower";
        let hessian = "smallest eigenvalue of the exact Hessian of -2 ln posterior in standardised coordinates";
        let mut columns = vec![
            scalar("chi2", "chi-square of the flux alone", "stat.fit.chi2", &self.chi_square),
            scalar("n_dof", degrees, "stat.fit.dof", &self.degrees_of_freedom),
            Column::scalar(
                ColumnSchema::new("n_flux", "", "fluxes with a finite error").with_ucd("meta.number"),
                Values::Int32(self.n_fluxes.clone()),
            ),
            scalar("ln_prior", "ln density of the mixture prior at the labels (teff in kK)", "stat.probability", &self.ln_prior),
            scalar("ln_posterior", "ln posterior up to a constant", "stat.probability", &self.ln_posterior),
            scalar("hessian_min_eigenvalue", hessian, "stat.value", &self.smallest_eigenvalue),
        ];
        columns.extend(self.second_optimum());
        for (name, _, _) in &self.parameters {
            let found = self.confidence.iter().find(|(label, _)| label == name);
            let none = || vec![f64::NAN; self.len()];
            let values = match found {
                Some((_, values)) => values.clone(),
                None if flags::CONFIDENCES.contains(&name.as_str()) => none(),
                None => continue,
            };
            let description =
                format!("probability that {name} agrees with a better measurement (null: the model has no classifier)");
            columns.push(scalar(&format!("{name}_confidence"), &description, "stat.probability", &values));
        }
        columns
    }

    /// The columns of the second optimum, null where a star has none.
    fn second_optimum(&self) -> Vec<Column> {
        let of_parameter = |(index, &position): (usize, &usize)| {
            let (name, unit, description) = &self.parameters[position];
            let schema =
                ColumnSchema::new(format!("second_{name}"), unit, format!("{description}, at the second optimum (bit 9)"));
            Column::nullable(schema.with_ucd(Facts::of(name).ucd), self.second.column(index).to_vec())
        };
        let mut columns: Vec<Column> = self.fitted.iter().enumerate().map(of_parameter).collect();
        let description = "-2 ln posterior at the second optimum less that at the first";
        let schema = ColumnSchema::new("second_delta_loss", "", description).with_ucd("stat.probability;arith.diff");
        columns.push(Column::nullable(schema, self.second_delta_loss.clone()));
        let description = "share of the second optimum in the posterior, by Laplace's approximation of all optima";
        let schema = ColumnSchema::new("second_weight", "", description).with_ucd("stat.probability");
        columns.push(Column::nullable(schema, self.second_weight.clone()));
        columns
    }
}
