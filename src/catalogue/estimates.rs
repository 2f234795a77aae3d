//! The core of an estimate.

use crate::error::Result;
use crate::optimise::dense::{invert_positive_semidefinite, pack_upper_triangle};
use crate::quantity::Facts;
use crate::table::{Column, ColumnSchema, Table, Values};
use ndarray::{Array2, Array3, Axis};

/// Estimates of N stars in file units, by whatever method.
///
/// # Shapes
/// `values [N, P]`, `covariance [N, F, F]` over the parameters that were estimated. Numbers that could not be
/// had are NaN, and a flag says why.
#[derive(Debug, Clone)]
pub struct Estimates {
    pub ids: Vec<i64>,
    /// Names, units and descriptions of all parameters.
    pub parameters: Vec<(String, String, String)>,
    /// Positions of the estimated ones among them; the others were held.
    pub fitted: Vec<usize>,
    pub values: Array2<f64>,
    pub covariance: Array3<f64>,
    pub flags: Vec<i32>,
}

/// What a method adds to a catalogue.
#[derive(Debug, Clone, Default)]
pub struct CatalogueColumns {
    /// After the parameters: quantities that follow from them.
    pub derived: Vec<Column>,
    /// After the covariances: diagnostics of the method.
    pub diagnostics: Vec<Column>,
    /// After the flags: how the method came to it.
    pub after_flags: Vec<Column>,
    /// What the errors are, in words: "Fisher matrix and model calibration".
    pub errors: String,
    /// What the covariances are of, in words: "fluxes, constraints and the model's calibration".
    pub covariances: String,
    /// Meaning of the bits of the flags.
    pub flags: String,
}

impl Estimates {
    /// Number of stars N.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no stars.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// 1σ error of an estimated parameter (`index` among the estimated) of a star.
    pub fn error(&self, star: usize, index: usize) -> f64 {
        self.covariance[[star, index, index]].sqrt()
    }

    /// The catalogue: one row per star, in the order of the observations. `model_id` names the model that
    /// made it.
    ///
    /// # Errors
    /// When two columns would have the same name, or one has another length.
    pub fn to_table(&self, columns: CatalogueColumns, model_id: &str) -> Result<Table> {
        let n = self.len();
        let id = ColumnSchema::new("source_id", "", "identifier of the star").with_ucd("meta.id;meta.main");
        let mut table = Table::new(vec![Column::scalar(id, Values::Int64(self.ids.clone()))])?;
        for (position, (name, unit, description)) in self.parameters.iter().enumerate() {
            let ucd = Facts::of(name).ucd;
            let schema = ColumnSchema::new(name, unit, description).with_ucd(&ucd);
            table.push(Column::nullable(schema, self.values.column(position).to_vec()))?;
            let error = match self.fitted.iter().position(|&fitted| fitted == position) {
                Some(index) => (0..n).map(|star| self.error(star, index)).collect(),
                None => vec![f64::NAN; n],
            };
            let schema =
                ColumnSchema::new(format!("{name}_error"), unit, format!("1-sigma error of {name} ({})", columns.errors));
            table.push(Column::nullable(schema.with_ucd(format!("stat.error;{ucd}")), error))?;
        }
        columns.derived.into_iter().try_for_each(|column| table.push(column))?;
        let order: Vec<&str> = self.fitted.iter().map(|&position| self.parameters[position].0.as_str()).collect();
        let (order, inverse) = (order.join(", "), self.inverse_covariance());
        for (name, text, stack) in [
            ("covariance_triu", "covariance of", &self.covariance),
            ("inverse_covariance_triu", "inverse of the covariance of", &inverse),
        ] {
            let of = &columns.covariances;
            let description = format!("{text} {of}, row-wise upper triangle in the order {order} and the units of these columns");
            table.push(packed(ColumnSchema::new(name, "", description).with_ucd("stat.covariance"), stack))?;
        }
        columns.diagnostics.into_iter().try_for_each(|column| table.push(column))?;
        let schema = ColumnSchema::new("quality_flags", "", columns.flags).with_ucd("meta.code.qual");
        table.push(Column::scalar(schema, Values::Int32(self.flags.clone())))?;
        columns.after_flags.into_iter().try_for_each(|column| table.push(column))?;
        let schema =
            ColumnSchema::new("model_id", "", "first digits of the SHA-256 of the model").with_ucd("meta.id;meta.modelled");
        table.push(Column::scalar(schema, Values::Text(vec![model_id.to_string(); n])))?;
        Ok(table)
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

/// A column of row-wise upper triangles of matrices `[N, F, F]`; NaN where a star has none (null rows of
/// fixed-length lists are beyond astropy's Parquet reader).
pub fn packed(schema: ColumnSchema, stack: &Array3<f64>) -> Column {
    let f = stack.dim().1;
    let triangles =
        stack.axis_iter(Axis(0)).flat_map(|matrix| pack_upper_triangle(&matrix.iter().copied().collect::<Vec<f64>>(), f));
    Column::fixed(schema, Values::Float64(triangles.collect()), f * (f + 1) / 2)
}
