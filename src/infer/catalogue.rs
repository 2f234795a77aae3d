//! Estimates as a catalogue table (spec 1 §5, the paper's Table 2; names as in the conventions).

use super::estimates::Estimates;
use super::flags;
use crate::error::Result;
use crate::optimise::dense::{invert_positive_semidefinite, pack_upper_triangle};
use crate::quantity::Facts;
use crate::table::{Column, ColumnSchema, Table, Values};
use ndarray::{Array3, Axis};

impl Estimates {
    /// The catalogue: one row per star, in the order of the observations. `model_id` names the model that made it.
    ///
    /// # Errors
    /// When two columns would have the same name.
    pub fn to_table(&self, model_id: &str) -> Result<Table> {
        let n = self.len();
        let id = ColumnSchema::new("source_id", "", "identifier of the star").with_ucd("meta.id;meta.main");
        let mut table = Table::new(vec![Column::scalar(id, Values::Int64(self.ids.clone()))])?;
        for (position, (name, unit, description)) in self.parameters.iter().enumerate() {
            let values = self.values.column(position).to_vec();
            let ucd = Facts::of(name).ucd;
            table.push(Column::nullable(ColumnSchema::new(name, unit, description).with_ucd(&ucd), values))?;
            let error = match self.fitted.iter().position(|&fitted| fitted == position) {
                Some(index) => (0..n).map(|star| self.error(star, index)).collect(),
                None => vec![f64::NAN; n],
            };
            let schema = ColumnSchema::new(
                format!("{name}_error"),
                unit,
                format!("1-sigma error of {name} (Fisher matrix and model calibration)"),
            );
            table.push(Column::nullable(schema.with_ucd(format!("stat.error;{ucd}")), error))?;
        }
        for (derived, values) in &self.derived {
            let schema = ColumnSchema::new(&derived.name, &derived.unit, &derived.description);
            table.push(Column::nullable(schema.with_ucd(&derived.ucd), values.clone()))?;
        }
        let order: Vec<&str> = self.fitted.iter().map(|&position| self.parameters[position].0.as_str()).collect();
        let order = order.join(", ");
        let inverse = self.inverse_covariance();
        let total = "of fluxes, constraints and the model's calibration";
        for (name, text, stack) in [
            ("covariance_triu", format!("covariance {total}"), &self.covariance),
            ("inverse_covariance_triu", format!("inverse of the covariance {total}"), &inverse),
        ] {
            let description = format!("{text}, row-wise upper triangle in the order {order} and the units of these columns");
            table.push(packed(ColumnSchema::new(name, "", description).with_ucd("stat.covariance"), stack))?;
        }
        let scalar = |name: &str, description: &str, ucd: &str, values: &[f64]| {
            Column::nullable(ColumnSchema::new(name, "", description).with_ucd(ucd), values.to_vec())
        };
        table.push(scalar("chi2", "chi-square of the flux alone", "stat.fit.chi2", &self.chi_square))?;
        table.push(scalar(
            "n_dof",
            "degrees of freedom of chi2: n_flux less the number of parameters that the fluxes determine, which parallax and prior lower",
            "stat.fit.dof",
            &self.degrees_of_freedom,
        ))?;
        table.push(Column::scalar(
            ColumnSchema::new("n_flux", "", "fluxes with a finite error").with_ucd("meta.number"),
            Values::Int32(self.n_fluxes.clone()),
        ))?;
        table.push(scalar(
            "ln_prior",
            "ln density of the mixture prior at the labels (teff in kK)",
            "stat.probability",
            &self.ln_prior,
        ))?;
        table.push(scalar("ln_posterior", "ln posterior up to a constant", "stat.probability", &self.ln_posterior))?;
        table.push(scalar(
            "hessian_min_eigenvalue",
            "smallest eigenvalue of the exact Hessian of -2 ln posterior in standardised coordinates",
            "stat.value",
            &self.smallest_eigenvalue,
        ))?;
        self.push_second(&mut table)?;
        for (name, _, _) in self.parameters.iter().filter(|(name, _, _)| flags::CONFIDENCES.contains(&name.as_str())) {
            let description = format!("confidence of {name} (null: the model has no classifier)");
            table.push(scalar(&format!("{name}_confidence"), &description, "stat.probability", &vec![f64::NAN; n]))?;
        }
        table.push(Column::scalar(
            ColumnSchema::new("quality_flags", "", flags::DESCRIPTION).with_ucd("meta.code.qual"),
            Values::Int32(self.flags.clone()),
        ))?;
        table.push(Column::scalar(
            ColumnSchema::new("n_iterations", "", "iterations of the optimiser from the start that won"),
            Values::Int32(self.n_iterations.iter().map(|&count| count as i32).collect()),
        ))?;
        table.push(Column::scalar(
            ColumnSchema::new("model_id", "", "first digits of the SHA-256 of the model").with_ucd("meta.id;meta.modelled"),
            Values::Text(vec![model_id.to_string(); n]),
        ))?;
        Ok(table)
    }

    /// The columns of the second optimum, null where a star has none.
    fn push_second(&self, table: &mut Table) -> Result<()> {
        for (index, &position) in self.fitted.iter().enumerate() {
            let (name, unit, description) = &self.parameters[position];
            let schema =
                ColumnSchema::new(format!("second_{name}"), unit, format!("{description}, at the second optimum (bit 9)"));
            table.push(Column::nullable(schema.with_ucd(Facts::of(name).ucd), self.second.column(index).to_vec()))?;
        }
        let description = "-2 ln posterior at the second optimum less that at the first";
        let schema = ColumnSchema::new("second_delta_loss", "", description).with_ucd("stat.probability;arith.diff");
        table.push(Column::nullable(schema, self.second_delta_loss.clone()))
    }

    /// Inverse of the covariance `[N, F, F]`; NaN for stars without one.
    fn inverse_covariance(&self) -> Array3<f64> {
        let f = self.fitted.len();
        let mut stack = Array3::from_elem(self.covariance.dim(), f64::NAN);
        for (covariance, mut inverse) in self.covariance.outer_iter().zip(stack.outer_iter_mut()) {
            let flat: Vec<f64> = covariance.iter().copied().collect();
            if let Some(found) = invert_positive_semidefinite(&flat, f) {
                inverse.iter_mut().zip(found.matrix).for_each(|(to, from)| *to = from);
            }
        }
        stack
    }
}

/// Row-wise upper triangles; NaN where a star has none (null rows of fixed-length lists are beyond astropy's Parquet reader).
fn packed(schema: ColumnSchema, stack: &Array3<f64>) -> Column {
    let f = stack.dim().1;
    let triangles =
        stack.axis_iter(Axis(0)).flat_map(|matrix| pack_upper_triangle(&matrix.iter().copied().collect::<Vec<f64>>(), f));
    Column::fixed(schema, Values::Float64(triangles.collect()), f * (f + 1) / 2)
}
